//! A store whose calls fail on command, and sinks that write objects to it.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use postlake_event::sink::Sink;

use super::{Break, Destination};

#[derive(Debug)]
pub(crate) struct FlakyStore {
    inner: Arc<dyn ObjectStore>,
    break_at: Mutex<Option<(usize, Break)>>,
}

impl fmt::Display for FlakyStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, formatter)
    }
}

impl FlakyStore {
    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Arc<FlakyStore> {
        let break_at = Mutex::new(None);
        Arc::new(FlakyStore { inner, break_at })
    }

    /// How this call goes: `None` if it goes well.
    fn breaks(&self) -> Option<Break> {
        let mut break_at = self.break_at.lock().unwrap();
        let (left, how) = break_at.as_mut()?;
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                None
            }
            None => {
                // Whoever has had its effect was the last.
                let how = std::mem::replace(how, Break::Before);
                Some(how)
            }
        }
    }
}

fn broken() -> Error {
    Error::Generic {
        store: "flaky",
        source: "the line is cut".into(),
    }
}

#[async_trait]
impl ObjectStore for FlakyStore {
    async fn put_opts(&self, path: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        let breaks = self.breaks();
        if breaks == Some(Break::Before) {
            return Err(broken());
        }
        let done = self.inner.put_opts(path, bytes, how).await;
        if breaks.is_some() {
            Err(broken())
        } else {
            done
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, how).await
    }

    async fn get_opts(&self, path: &Path, how: GetOptions) -> Result<GetResult> {
        match self.breaks() {
            Some(_) => Err(broken()),
            None => self.inner.get_opts(path, how).await,
        }
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

/// Where sinks that write objects write.
pub(crate) struct StoreDestination {
    store: Arc<FlakyStore>,
    sink: fn(Arc<dyn ObjectStore>) -> Box<dyn Sink>,
    /// What readers find in an object, by its name and its text.
    read: fn(&str, &str) -> Vec<String>,
    rows: usize,
}

impl StoreDestination {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        sink: fn(Arc<dyn ObjectStore>) -> Box<dyn Sink>,
        read: fn(&str, &str) -> Vec<String>,
    ) -> StoreDestination {
        StoreDestination {
            store: FlakyStore::over(store),
            sink,
            read,
            rows: 60,
        }
    }

    /// For a store whose calls take long.
    pub(crate) fn with_few_rows(self) -> StoreDestination {
        StoreDestination { rows: 20, ..self }
    }
}

impl Destination for StoreDestination {
    fn sink(&self) -> Box<dyn Sink> {
        (self.sink)(Arc::clone(&self.store) as Arc<dyn ObjectStore>)
    }

    async fn content(&self) -> Vec<String> {
        let store = &self.store.inner;
        let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
        let mut content = Vec::new();
        for object in objects {
            let name = object.location.as_ref();
            if name.ends_with("_checkpoint.json") {
                continue;
            }
            let bytes = store
                .get(&object.location)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            let text = std::str::from_utf8(&bytes).unwrap();
            content.extend((self.read)(name, text));
        }
        content.sort_unstable();
        content
    }

    async fn empty(&self) {
        let store = &self.store.inner;
        let names: Vec<_> = store
            .list(None)
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .unwrap();
        let names = futures::stream::iter(names.into_iter().map(Ok)).boxed();
        let _: Vec<Path> = store.delete_stream(names).try_collect().await.unwrap();
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn break_at(&self, calls: Option<(usize, Break)>) {
        *self.store.break_at.lock().unwrap() = calls;
    }
}
