//! The composition root: the one place that names concrete parts.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::prefix::PrefixStore;
use postlake_event::sink::Sink;
use postlake_lake::{DataUrl, Lake};
use postlake_loader::{Loader, PassLimits};
use postlake_raw::clock::{Clock, SystemClock};
use postlake_raw::{DurableDirectory, RawStore};
use postlake_serve::{LakeSource, SqlEngine, SqlLimits, TableSource};
use postlake_sinks::CsvSink;

use crate::config::{Settings, SinkKind};
use crate::exit::{Exit, Failure};

/// The clock of the product.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The store at `data`: a directory with fsync of files and directories, or an S3 prefix.
///
/// # Errors
/// When the directory cannot be made or the S3 client cannot be set up.
pub(crate) fn object_store(data: &DataUrl) -> Result<Arc<dyn ObjectStore>, Failure> {
    if let Some(directory) = data.directory() {
        let doing = || format!("open the data directory {}", directory.display());
        std::fs::create_dir_all(directory)
            .map_err(|source| Failure::caused(Exit::CannotCreate, doing(), source))?;
        let store = DurableDirectory::open(directory)
            .map_err(|source| Failure::caused(Exit::CannotCreate, doing(), source))?;
        return Ok(Arc::new(store));
    }
    let (bucket, prefix) = data.s3().unwrap_or_default();
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    if std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| url.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    let store = builder.build().map_err(|source| {
        let doing = "set up s3 from the AWS_* variables";
        Failure::caused(Exit::Config, doing, source)
    })?;
    if prefix.is_empty() {
        return Ok(Arc::new(store));
    }
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

/// The raw store at `data`.
///
/// # Errors
/// As [`object_store`].
pub(crate) fn raw_store(data: &DataUrl) -> Result<RawStore, Failure> {
    object_store(data).map(RawStore::new)
}

/// The lake at `data`.
///
/// # Errors
/// When its store cannot be set up.
pub(crate) fn lake(data: &DataUrl) -> Result<Lake, Failure> {
    Lake::open(data).map_err(|source| Failure::caused(Exit::Unavailable, "open the lake", source))
}

/// A loader from the raw store to the lake at `data`.
///
/// # Errors
/// As [`raw_store`] and [`lake`].
pub(crate) fn loader(data: &DataUrl) -> Result<Loader, Failure> {
    Ok(Loader::new(
        raw_store(data)?,
        lake(data)?,
        clock(),
        PassLimits::default(),
    ))
}

/// The configured sinks.
///
/// # Errors
/// When a sink cannot be set up.
pub(crate) fn sinks(settings: &Settings) -> Result<Vec<Box<dyn Sink>>, Failure> {
    settings
        .sinks
        .iter()
        .map(|sink| match sink.kind {
            SinkKind::Csv => {
                let store = object_store(&settings.data)?;
                Ok(Box::new(CsvSink::new(&sink.name, store)) as Box<dyn Sink>)
            }
        })
        .collect()
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
