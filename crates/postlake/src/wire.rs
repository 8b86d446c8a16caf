//! The composition root: the one place that names concrete parts.

mod landing;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AwsCredentialProvider};
use object_store::local::LocalFileSystem;
use postlake_event::sink::Sink;
use postlake_lake::{DataUrl, Lake};
use postlake_loader::upkeep::Rules;
use postlake_loader::{KeyLimits, Loader, PassLimits};
use postlake_raw::{DurableDirectory, RawStore};
use postlake_serve::{LakeSource, SqlEngine, SqlLimits, TableSource};
use postlake_sinks::{CsvSink, DynamoDbEndpoint, DynamoDbSink, Retention, ScoresSink};

use crate::config::{DynamoDbTable, KeptDays, LONGEST_VACUUM_AFTER, Settings, SinkKind};
use crate::exit::{Exit, Failure};
pub(crate) use landing::{Landing, clock, landing, object_store};

/// The raw store at `data`, for reading and for what has time to write.
///
/// # Errors
/// As [`object_store`].
pub(crate) fn raw_store(data: &DataUrl) -> Result<RawStore, Failure> {
    let store = object_store(data)?;
    Ok(match data.directory() {
        Some(_) => RawStore::new(store),
        None => RawStore::where_reading_proves(store),
    })
}

/// The objects of an import, only to be read.
///
/// # Errors
/// When there is no such directory, or the S3 client cannot be set up.
pub(crate) fn import_store(from: &DataUrl) -> Result<Arc<dyn ObjectStore>, Failure> {
    let Some(directory) = from.directory() else {
        return object_store(from);
    };
    match LocalFileSystem::new_with_prefix(directory) {
        Ok(store) => Ok(Arc::new(store)),
        Err(source) => {
            let doing = format!("read {}", directory.display());
            Err(Failure::caused(Exit::Io, doing, source))
        }
    }
}

/// The lake at `data`.
///
/// # Errors
/// When its store cannot be set up.
pub(crate) fn lake(data: &DataUrl) -> Result<Lake, Failure> {
    Lake::open(data).map_err(|source| Failure::caused(Exit::Unavailable, "open the lake", source))
}

/// A loader from the raw store to the lake of these settings.
///
/// # Errors
/// As [`raw_store`] and [`lake`].
pub(crate) fn loader(settings: &Settings) -> Result<Loader, Failure> {
    let load = &settings.load;
    let limits = PassLimits {
        rows: load.commit_rows,
        age: load.commit_age,
        keys: key_limits(settings),
        ..PassLimits::default()
    };
    let (raw, lake) = (raw_store(&settings.data)?, lake(&settings.data)?);
    Ok(Loader::new(raw, lake, clock(), limits))
}

/// Keys that are kept while rows are loaded or replayed.
pub(crate) fn key_limits(settings: &Settings) -> KeyLimits {
    KeyLimits::within(settings.load.key_memory_bytes, settings.load.key_disk_bytes)
}

/// The configured sinks.
///
/// # Errors
/// When a sink cannot be set up.
pub(crate) fn sinks(settings: &Settings) -> Result<Vec<Box<dyn Sink>>, Failure> {
    settings
        .sinks
        .iter()
        .map(|sink| {
            let name = &sink.name;
            Ok(match &sink.kind {
                SinkKind::Csv { url } => {
                    let store = sink_store(settings, url.as_ref())?;
                    Box::new(CsvSink::new(name, store)) as Box<dyn Sink>
                }
                SinkKind::Scores { url } => {
                    let store = sink_store(settings, url.as_ref())?;
                    Box::new(ScoresSink::new(name, store))
                }
                SinkKind::DynamoDb(table) => Box::new(dynamodb_sink(name, table)?),
            })
        })
        .collect()
}

/// Where a sink writes files: beside the lake, or at a place of its own, which is made if it is a
/// directory.
fn sink_store(settings: &Settings, url: Option<&DataUrl>) -> Result<Arc<dyn ObjectStore>, Failure> {
    let Some(url) = url else {
        return object_store(&settings.data);
    };
    let Some(directory) = url.directory() else {
        return object_store(url);
    };
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
        let doing = format!("use the directory {} for a sink", directory.display());
        Failure::caused(Exit::CannotCreate, doing, std::io::Error::other(source))
    };
    std::fs::create_dir_all(directory).map_err(|source| failed(source.into()))?;
    match DurableDirectory::open(directory) {
        Ok(store) => Ok(Arc::new(store)),
        Err(source) => Err(failed(source.into())),
    }
}

/// A sink of type dynamodb.
///
/// # Errors
/// When neither configuration nor environment names a region, or the client cannot be set up.
pub(crate) fn dynamodb_sink(name: &str, table: &DynamoDbTable) -> Result<DynamoDbSink, Failure> {
    let failed = |source| {
        let doing = format!("set up the sink {name}");
        Failure::caused(Exit::Config, doing, source)
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let region = table.region.clone();
    let region = region
        .or_else(|| variable("AWS_REGION"))
        .or_else(|| variable("AWS_DEFAULT_REGION"));
    let Some(region) = region else {
        let message = format!("the sink {name} has no region; set its key `region` or AWS_REGION");
        return Err(Failure::new(Exit::Config, message));
    };
    let url = table.endpoint.clone();
    let url = url
        .or_else(|| variable("AWS_ENDPOINT_URL_DYNAMODB"))
        .or_else(|| variable("AWS_ENDPOINT_URL"))
        .unwrap_or_else(|| dynamodb_url(&region));
    let retention = table.retention.map(|keep| {
        let clock = clock();
        let now: postlake_sinks::Now = Arc::new(move || clock.now());
        Retention { keep, now }
    });
    let endpoint = DynamoDbEndpoint {
        credentials: aws_credentials(&region)?,
        url,
        region,
    };
    DynamoDbSink::new(name, &table.table, endpoint, retention).map_err(failed)
}

fn dynamodb_url(region: &str) -> String {
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://dynamodb.{region}.amazonaws.com{china}")
}

/// Who we are to AWS, found as the store library finds it: variables, a container's or an instance's
/// role, web identity.
fn aws_credentials(region: &str) -> Result<AwsCredentialProvider, Failure> {
    let store = AmazonS3Builder::from_env()
        .with_region(region)
        // Never asked for: only the store's credentials are.
        .with_bucket_name("none")
        .with_allow_http(true)
        .build();
    match store {
        Ok(store) => Ok(Arc::clone(store.credentials())),
        Err(source) => {
            let doing = "find credentials for dynamodb from the AWS_* variables";
            Err(Failure::caused(Exit::Config, doing, source))
        }
    }
}

/// The lake at `data` as the read side sees it.
///
/// # Errors
/// As [`lake`].
pub(crate) fn table_source(data: &DataUrl) -> Result<Arc<dyn TableSource>, Failure> {
    Ok(Arc::new(LakeSource::new(lake(data)?)))
}

/// SQL for the owner of the data at a terminal.
///
/// # Errors
/// When there is no lake at `data`.
pub(crate) fn local_engine(data: &DataUrl) -> Result<SqlEngine, Failure> {
    if data
        .directory()
        .is_some_and(|directory| !directory.join("lake").is_dir())
    {
        let message = format!(
            "there is no lake at {data} yet; start `postlake serve`, or run `postlake load` after it, \
             or name another place with --data"
        );
        return Err(Failure::new(Exit::Unavailable, message));
    }
    Ok(SqlEngine::new(table_source(data)?, SqlLimits::local()))
}

/// What is kept how long, for the loader.
pub(crate) fn rules(days: &KeptDays) -> Rules {
    Rules {
        raw: days.raw,
        events: days.events,
        alerts: days.alerts,
        quarantine: days.quarantine,
        batches: days.batches,
    }
}

const _: () = assert!(
    postlake_lake::LONGEST_VACUUM.num_seconds() as u64 == LONGEST_VACUUM_AFTER.as_secs(),
    "the configuration and the lake agree"
);
