//! A store that is reached only while its data directory is there.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryFutureExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::DataDirectory;

/// A store in a [`DataDirectory`].
///
/// Everything is turned back while the directory is away. A put is looked at again afterwards, so
/// that one that ended in a stray directory is never a success.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn ObjectStore>,
    directory: Arc<DataDirectory>,
}

impl Guarded {
    /// `inner` must be a store in that directory.
    pub fn new(inner: Arc<dyn ObjectStore>, directory: Arc<DataDirectory>) -> Self {
        Self { inner, directory }
    }

    /// On a blocking thread: a sick file system takes its time for a look, too.
    pub(super) async fn check(&self) -> Result<()> {
        looked(Arc::clone(&self.directory), false).await
    }

    /// As [`Guarded::check`], after the store was reached.
    pub(super) async fn check_after(&self) -> Result<()> {
        looked(Arc::clone(&self.directory), true).await
    }

    /// The stream, if the directory is there when it is first asked for something.
    fn checked<T: Send + 'static>(
        &self,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let looked = looked(Arc::clone(&self.directory), false);
        looked.map_ok(|()| stream).try_flatten_stream().boxed()
    }
}

async fn looked(directory: Arc<DataDirectory>, reached: bool) -> Result<()> {
    let looked = tokio::task::spawn_blocking(move || directory.check()).await;
    looked.map_err(failed)?.map_err(|mut away| {
        away.reached = reached;
        failed(away)
    })
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic {
        store: "data directory",
        source: Box::new(source),
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guarded {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Guarded {
    async fn put_opts(&self, at: &Path, put: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check().await?;
        let result = self.inner.put_opts(at, put, options).await?;
        self.check_after().await?;
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check().await?;
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.check().await?;
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.checked(self.inner.delete_stream(paths))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.checked(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.checked(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check().await?;
        self.inner.copy_opts(from, to, options).await?;
        self.check_after().await
    }
}
