//! A local file system that has its files and their directories on the disk before it says so.
//!
//! The Delta library's store does not sync, so a power cut could keep a log entry and lose the data
//! file that it names. This decorator syncs after every put, multipart completion and copy.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store_lake::local::LocalFileSystem;
use object_store_lake::path::Path;
use object_store_lake::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};

#[derive(Debug)]
pub(crate) struct SyncedFileSystem {
    inner: Arc<LocalFileSystem>,
}

impl SyncedFileSystem {
    pub(crate) fn new(inner: LocalFileSystem) -> SyncedFileSystem {
        SyncedFileSystem {
            inner: Arc::new(inner),
        }
    }
}

impl fmt::Display for SyncedFileSystem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "synced {}", self.inner)
    }
}

/// Syncs the file and every directory that may be new with it, up to the data directory:
/// `<data>/lake/<table>/<partition>/<file>`.
async fn sync(inner: &LocalFileSystem, location: &Path) -> Result<()> {
    let path = inner.path_to_filesystem(location)?;
    tokio::task::spawn_blocking(move || {
        std::fs::File::open(&path)?.sync_all()?;
        for directory in path.ancestors().skip(1).take(4) {
            std::fs::File::open(directory)?.sync_all()?;
        }
        Ok::<(), std::io::Error>(())
    })
    .await
    .map_err(|source| Error::JoinError { source })?
    .map_err(|source| Error::Generic {
        store: "synced file system",
        source: Box::new(source),
    })
}

#[async_trait]
impl ObjectStore for SyncedFileSystem {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let result = self.inner.put_opts(location, payload, options).await?;
        sync(&self.inner, location).await?;
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(SyncedUpload {
            upload: self.inner.put_multipart_opts(location, options).await?,
            inner: Arc::clone(&self.inner),
            location: location.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        sync(&self.inner, to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        sync(&self.inner, to).await
    }
}

#[derive(Debug)]
struct SyncedUpload {
    upload: Box<dyn MultipartUpload>,
    inner: Arc<LocalFileSystem>,
    location: Path,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        sync(&self.inner, &self.location).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
