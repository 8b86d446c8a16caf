//! An object store that fails on purpose, around a real one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What happens to a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store is not reached.
    Before,
    /// The object is stored, the answer is lost.
    After,
    /// The object is stored, the answer is lost, the client repeats the put by itself.
    AfterAndRepeated,
    /// The store says that the name is taken although nothing stands there (S3's 409).
    TakenByNobody,
    /// The disk is full.
    Full,
    /// The condition is ignored: what stood there is overwritten.
    ConditionIgnored,
    /// It is a get that fails, and no put.
    Unread,
}

/// Does `fault` to the next `puts` puts, then behaves.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
    /// Puts before those, which go through.
    spared: AtomicUsize,
    puts: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, fault: Fault, puts: usize) -> Arc<Self> {
        Self::later(inner, fault, 0, puts)
    }

    /// As `new`, after `spared` puts that go through.
    pub(crate) fn later(
        inner: Arc<dyn ObjectStore>,
        fault: Fault,
        spared: usize,
        puts: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault,
            spared: AtomicUsize::new(spared),
            puts: AtomicUsize::new(puts),
        })
    }

    fn strikes(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        let taken = |from: &AtomicUsize| {
            from.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
                .is_ok()
        };
        !taken(&self.spared) && taken(&self.puts)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

fn broken(source: std::io::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: Box::new(source),
    }
}

fn taken(path: &Path) -> object_store::Error {
    object_store::Error::AlreadyExists {
        path: path.to_string(),
        source: "said so".into(),
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, put: PutPayload, options: PutOptions) -> Result<PutResult> {
        if self.fault == Fault::Unread || !self.strikes() {
            return self.inner.put_opts(at, put, options).await;
        }
        let reset = || broken(std::io::ErrorKind::ConnectionReset.into());
        match self.fault {
            Fault::Before | Fault::Unread => Err(reset()),
            Fault::Full => Err(broken(std::io::ErrorKind::StorageFull.into())),
            Fault::TakenByNobody => Err(taken(at)),
            Fault::After => {
                self.inner.put_opts(at, put, options).await?;
                Err(reset())
            }
            Fault::AfterAndRepeated => {
                self.inner
                    .put_opts(at, put.clone(), options.clone())
                    .await?;
                self.inner.put_opts(at, put, options).await
            }
            Fault::ConditionIgnored => {
                self.inner
                    .put_opts(at, put, PutMode::Overwrite.into())
                    .await
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        if self.fault == Fault::Unread && self.strikes() {
            return Err(broken(std::io::ErrorKind::ConnectionReset.into()));
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
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
