//! Where the tables are: the store and the addresses that the Delta library is given for a place.

use std::sync::Arc;

use deltalake_core::DeltaResult;
use deltalake_core::logstore::{
    LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
};
use object_store_lake::ObjectStore;
use object_store_lake::aws::AmazonS3Builder;
use object_store_lake::local::LocalFileSystem;
use postlake_location::DataUrl;
use url::Url;

use crate::synced::SyncedFileSystem;

/// Why a place cannot hold tables.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocationError {
    /// The address of a table there cannot be written.
    #[error("{0} cannot be part of the address of a table")]
    NoAddress(String),
    /// The store cannot be set up from the environment.
    #[error("the s3 store cannot be set up from the AWS_* variables")]
    Store(#[source] object_store_lake::Error),
}

/// The store that the Delta library reads and writes, rooted at `/` or at the bucket.
pub(crate) fn root_store(url: &DataUrl) -> Result<Arc<dyn ObjectStore>, LocationError> {
    match url.s3() {
        None => Ok(Arc::new(SyncedFileSystem::new(LocalFileSystem::new()))),
        Some((bucket, _)) => {
            register_s3_log_store();
            let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
            if std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| url.starts_with("http://")) {
                builder = builder.with_allow_http(true);
            }
            let store = builder.build().map_err(LocationError::Store)?;
            Ok(Arc::new(store))
        }
    }
}

/// The address of a table below this place.
pub(crate) fn table_url(url: &DataUrl, name: &str) -> Result<Url, LocationError> {
    let no_address = || LocationError::NoAddress(url.to_string());
    if let Some(path) = url.directory() {
        let path = path.join("lake").join(name);
        return Url::from_directory_path(path).map_err(|()| no_address());
    }
    let (bucket, prefix) = url.s3().unwrap_or_default();
    let parts = [prefix, "lake", name];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let address = format!("s3://{bucket}/{}/", parts.join("/"));
    Url::parse(&address).map_err(|_| no_address())
}

/// The library's own log store commits by create-only puts, which is what S3 offers; it only has to
/// be told so for the scheme. Registering twice is harmless.
fn register_s3_log_store() {
    struct CreateOnly;
    impl LogStoreFactory for CreateOnly {
        fn with_options(
            &self,
            prefixed_store: ObjectStoreRef,
            root_store: ObjectStoreRef,
            location: &Url,
            options: &StorageConfig,
        ) -> DeltaResult<Arc<dyn LogStore>> {
            Ok(default_logstore(
                prefixed_store,
                root_store,
                location,
                options,
            ))
        }
    }
    if let Ok(scheme) = Url::parse("s3://") {
        logstore_factories().insert(scheme, Arc::new(CreateOnly));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_addresses_below_the_place() {
        for (place, address) in [
            ("s3://bucket/a/b/", "s3://bucket/a/b/lake/events/"),
            ("s3://bucket", "s3://bucket/lake/events/"),
            ("/tmp/x", "file:///tmp/x/lake/events/"),
        ] {
            let url = table_url(&DataUrl::parse(place).unwrap(), "events").unwrap();
            assert_eq!(url.as_str(), address);
        }
    }
}
