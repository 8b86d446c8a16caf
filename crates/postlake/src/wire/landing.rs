//! The store, and what receives into it: all that a program needs that only receives.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use postlake_location::DataUrl;
use postlake_raw::clock::{Clock, SystemClock};
use postlake_raw::data_directory::{DataDirectory, Guarded};
use postlake_raw::{DurableDirectory, RawStore};

use crate::config::Settings;
use crate::exit::{Exit, Failure};

/// Longest wait for a connection to S3.
const S3_CONNECT_TIMEOUT: &str = "2 seconds";

/// How the client tries a put again that S3 has refused for the moment (5xx, 429) or that did not reach
/// it. The put, and the look for it after that, end within [`S3_PUT_PATIENCE`].
const S3_LANDING_RETRY: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(50),
        max_backoff: Duration::from_millis(500),
        base: 2.0,
    },
    max_retries: 20,
    retry_timeout: Duration::from_millis(1500),
};

/// How often the client tries again to find out at the start whether S3 can be written: an answer must be
/// there before a start waits no longer.
const S3_PROBE_RETRY: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(50),
        max_backoff: Duration::from_millis(200),
        base: 2.0,
    },
    max_retries: 20,
    retry_timeout: Duration::from_millis(700),
};

/// A put to S3 without an answer is given up after this and tried under another name: two of them fit
/// into the 8 s of an answer.
const S3_PUT_PATIENCE: Duration = Duration::from_millis(3500);

/// Under load at least this long from one put to S3 to the next: each costs money, and the loader a
/// read, so no number of batches that wait is worth one more. A put that comes alone does not wait.
const S3_COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// A slow S3 gets longer, up to this: a line that is cut is noticed within it.
const S3_PUT_TIMEOUT: Duration = Duration::from_secs(20);

/// The clock of the product.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// The store at `data`: a directory with fsync of files and directories that is reached only while it
/// is there, or an S3 prefix.
///
/// # Errors
/// When there is no such directory, it cannot be used, or the S3 client cannot be set up.
pub(crate) fn object_store(data: &DataUrl) -> Result<Arc<dyn ObjectStore>, Failure> {
    match data.directory() {
        Some(directory) => store_in(&Arc::new(data_directory(directory)?)),
        None => s3(data, RetryConfig::default()),
    }
}

/// The data directory, known from now on by its mark.
///
/// # Errors
/// When there is none, or it cannot be read and written.
pub(crate) fn data_directory(directory: &Path) -> Result<DataDirectory, Failure> {
    if !directory.exists() {
        let message = format!(
            "there is no data directory {}; `postlake serve` makes it, or name another place with --data",
            directory.display()
        );
        return Err(Failure::new(Exit::Unavailable, message));
    }
    DataDirectory::open(directory).map_err(|source| {
        let doing = format!("use {} as data directory", directory.display());
        Failure::caused(Exit::CannotCreate, doing, source)
    })
}

fn store_in(directory: &Arc<DataDirectory>) -> Result<Arc<dyn ObjectStore>, Failure> {
    let store = DurableDirectory::open(directory.path()).map_err(|source| {
        let doing = format!("open the data directory {}", directory.path().display());
        Failure::caused(Exit::CannotCreate, doing, source)
    })?;
    Ok(Arc::new(Guarded::new(
        Arc::new(store),
        Arc::clone(directory),
    )))
}

fn s3(data: &DataUrl, retry: RetryConfig) -> Result<Arc<dyn ObjectStore>, Failure> {
    let (bucket, prefix) = data.s3().unwrap_or_default();
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retry)
        .with_config(
            AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout),
            S3_CONNECT_TIMEOUT,
        );
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

/// The raw store to receive into, and what its receiver must know of it.
pub(crate) struct Landing {
    pub(crate) raw: RawStore,
    /// The same, which says sooner that it cannot be reached.
    pub(crate) probed: RawStore,
    /// Where it is, if it is a directory.
    pub(crate) directory: Option<Arc<DataDirectory>>,
    /// The receiver's limits, fit for the store.
    pub(crate) limits: postlake_receiver::Config,
}

/// The raw store at `data`, for receiving: S3 is tried again for a short time only, so that a batch
/// that is refused in one place can be landed in another within the sender's patience.
///
/// # Errors
/// As [`object_store`].
pub(crate) fn landing(settings: &Settings) -> Result<Landing, Failure> {
    let limits = settings.receiver.clone();
    if let Some(directory) = settings.data.directory() {
        let directory = Arc::new(data_directory(directory)?);
        let raw = RawStore::new(store_in(&directory)?);
        return Ok(Landing {
            probed: raw.clone(),
            raw,
            directory: Some(directory),
            limits,
        });
    }
    let store = s3(&settings.data, S3_LANDING_RETRY)?;
    Ok(Landing {
        raw: RawStore::where_reading_proves(store),
        probed: RawStore::new(s3(&settings.data, S3_PROBE_RETRY)?),
        directory: None,
        limits: postlake_receiver::Config {
            put_patience: S3_PUT_PATIENCE.min(limits.put_patience),
            put_timeout: S3_PUT_TIMEOUT.min(limits.put_timeout),
            commit_interval: S3_COMMIT_INTERVAL.max(limits.commit_interval),
            commit_batches: usize::MAX,
            commit_bytes: u64::MAX,
            ..limits
        },
    })
}
