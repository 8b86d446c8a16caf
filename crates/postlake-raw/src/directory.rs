//! A directory as a store whose folders are durable too.
//!
//! A local file system that syncs what it writes syncs the folders that it makes itself. Folders that
//! it finds count as durable, and they need not be: the process that made them may have been killed,
//! or have met an error, before it synced the folder above them. What is put there would be
//! acknowledged, and a power cut would take the folder away with everything in it. So after the first
//! put into a folder this store syncs that folder and every one above it, up to the directory itself.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Most folders that are remembered as durable; one more and all are synced again.
const MAX_FOLDERS: usize = 1024;

/// A directory. A put returns `Ok` when the object, its folder and every folder between that and the
/// directory are on the disk. The directory itself must be made, and its parents synced, by whoever
/// chooses it.
#[derive(Debug)]
pub struct DurableDirectory {
    inner: LocalFileSystem,
    root: PathBuf,
    /// Folders whose own entries, and those of the folders above them, are on the disk.
    durable: Mutex<HashSet<PathBuf>>,
}

impl DurableDirectory {
    /// The directory `root`, which must be there.
    ///
    /// # Errors
    /// When it is not, or cannot be looked at.
    pub fn open(root: &FilePath) -> Result<Self> {
        let inner = LocalFileSystem::new_with_prefix(root)?.with_fsync(true);
        // As the local file system has it.
        let root = root.canonicalize().map_err(failed)?;
        let durable = Mutex::default();
        Ok(Self {
            inner,
            root,
            durable,
        })
    }

    /// Has the folders above `location` on the disk.
    async fn settle(&self, location: &Path) -> Result<()> {
        let file = self.inner.path_to_filesystem(location)?;
        let Some(folder) = file.parent().map(FilePath::to_owned) else {
            return Ok(());
        };
        if self.remembered(|durable| durable.contains(&folder)) {
            return Ok(());
        }
        let (from, root) = (folder.clone(), self.root.clone());
        tokio::task::spawn_blocking(move || sync_up(&from, &root))
            .await?
            .map_err(failed)?;
        self.remembered(|durable| {
            if durable.len() >= MAX_FOLDERS {
                durable.clear();
            }
            durable.insert(folder)
        });
        Ok(())
    }

    fn remembered<T>(&self, look: impl FnOnce(&mut HashSet<PathBuf>) -> T) -> T {
        look(&mut self.durable.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn failed(source: io::Error) -> Error {
    Error::Generic {
        store: "durable directory",
        source: Box::new(source),
    }
}

/// Syncs `folder` and those above it up to `root`.
fn sync_up(folder: &FilePath, root: &FilePath) -> io::Result<()> {
    for folder in folder.ancestors() {
        File::open(folder)?.sync_all()?;
        if folder == root {
            break;
        }
    }
    Ok(())
}

impl fmt::Display for DurableDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "durable {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DurableDirectory {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match self.inner.put_opts(location, payload, options).await {
            Ok(result) => self.settle(location).await.map(|()| result),
            Err(error) => {
                // Whatever failed may have made folders, or have found that some are gone.
                self.remembered(HashSet::clear);
                Err(error)
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented {
            operation: "put_multipart_opts".to_owned(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
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
        self.settle(to).await
    }
}
