//! An object store in memory that lists late and refuses to read, as it is told.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use postlake_raw::SegmentKey;

#[derive(Debug, Default)]
pub(crate) struct Moody {
    inner: InMemory,
    unlisted: Mutex<HashSet<Path>>,
    unread: Mutex<HashSet<Path>>,
}

impl Moody {
    pub(crate) fn new() -> Arc<Moody> {
        Arc::new(Moody::default())
    }

    /// No listing shows it, as one that is late.
    pub(crate) fn does_not_list(&self, key: &SegmentKey) {
        self.unlisted.lock().unwrap().insert(key.path());
    }

    /// Reading it is an error of the disk.
    pub(crate) fn does_not_read(&self, key: &SegmentKey) {
        self.unread.lock().unwrap().insert(key.path());
    }
}

impl fmt::Display for Moody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("moody")
    }
}

#[async_trait]
impl ObjectStore for Moody {
    async fn put_opts(&self, at: &Path, put: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, put, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if self.unread.lock().unwrap().contains(at) && !options.head {
            return Err(object_store::Error::Generic {
                store: "moody",
                source: "input/output error".into(),
            });
        }
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let unlisted = self.unlisted.lock().unwrap().clone();
        let listing = self.inner.list(prefix);
        listing
            .try_filter(move |object| std::future::ready(!unlisted.contains(&object.location)))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
