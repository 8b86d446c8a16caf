//! A local file system that has its files and their directories on the disk before it says so.
//!
//! The Delta library's store does not sync, so a power cut could keep a log entry and lose the data
//! file that it names. This decorator syncs after every multipart completion and copy. A put, which is
//! how a log entry comes, is synced before it gets its name: a half-written entry under the name of a
//! version would end the table there until somebody removed it.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store_lake::local::LocalFileSystem;
use object_store_lake::path::Path;
use object_store_lake::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result, UploadPart,
};

#[derive(Debug)]
pub(crate) struct SyncedFileSystem {
    inner: Arc<LocalFileSystem>,
    /// Whether the names of all log entries that were found are on the disk.
    settled: AtomicBool,
}

impl SyncedFileSystem {
    pub(crate) fn new(inner: LocalFileSystem) -> SyncedFileSystem {
        SyncedFileSystem {
            inner: Arc::new(inner),
            settled: AtomicBool::new(false),
        }
    }

    /// Syncs the log folders of all tables before the first commit and after every failure. An earlier
    /// process may have been killed between naming an entry and syncing the folder; what was read
    /// there must not be built upon before it is on the disk.
    async fn settle(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        let log = path.parent().filter(|folder| folder.ends_with(LOG));
        let lake = log.and_then(|log| log.parent()?.parent());
        let Some(lake) = lake.map(std::path::Path::to_owned) else {
            return Ok(());
        };
        if self.settled.load(Ordering::SeqCst) {
            return Ok(());
        }
        tokio::task::spawn_blocking(move || sync_logs(&lake))
            .await
            .map_err(|source| Error::JoinError { source })?
            .map_err(failed)?;
        self.settled.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn put_synced(
        &self,
        location: &Path,
        payload: PutPayload,
        create: bool,
    ) -> Result<PutResult> {
        self.settle(location).await?;
        publish(&self.inner, location, payload, create).await?;
        Ok(PutResult {
            e_tag: self.inner.head(location).await?.e_tag,
            version: None,
        })
    }
}

/// The folder of a table's log entries.
const LOG: &str = "_delta_log";

/// Syncs the log folder of each table, and the folders above it.
fn sync_logs(lake: &std::path::Path) -> std::io::Result<()> {
    let tables = match std::fs::read_dir(lake) {
        Ok(tables) => tables,
        // The first table is about to be made.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for table in tables {
        let table = table?.path();
        if table.join(LOG).is_dir() {
            File::open(table.join(LOG))?.sync_all()?;
            File::open(table)?.sync_all()?;
        }
    }
    File::open(lake)?.sync_all()
}

fn failed(source: std::io::Error) -> Error {
    Error::Generic {
        store: "synced file system",
        source: Box::new(source),
    }
}

impl fmt::Display for SyncedFileSystem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "synced {}", self.inner)
    }
}

/// Syncs every directory that may be new with the file, up to the data directory:
/// `<data>/lake/<table>/<partition>/<file>`.
fn sync_folders(path: &std::path::Path) -> std::io::Result<()> {
    for directory in path.ancestors().skip(1).take(4) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Syncs the file and the directories above it.
async fn sync(inner: &LocalFileSystem, location: &Path) -> Result<()> {
    let path = inner.path_to_filesystem(location)?;
    tokio::task::spawn_blocking(move || {
        File::open(&path)?.sync_all()?;
        sync_folders(&path)
    })
    .await
    .map_err(|source| Error::JoinError { source })?
    .map_err(failed)
}

/// Has the bytes on the disk under a staging name, then under their own: a new one, or any; then the
/// directories, with that name. One sync of the file is enough: bytes belong to the file and not to its
/// name, and nothing writes after it. The names of staging files are those of the local file system,
/// which lists none of them.
async fn publish(
    inner: &LocalFileSystem,
    location: &Path,
    payload: PutPayload,
    create: bool,
) -> Result<()> {
    let path = inner.path_to_filesystem(location)?;
    let published = tokio::task::spawn_blocking(move || {
        let (mut file, staged) = stage(&path)?;
        let written = payload
            .iter()
            .try_for_each(|bytes| file.write_all(bytes))
            .and_then(|()| file.sync_all())
            .and_then(|()| match create {
                true => std::fs::hard_link(&staged, &path),
                false => std::fs::rename(&staged, &path),
            });
        if (create || written.is_err())
            && let Err(error) = std::fs::remove_file(&staged)
        {
            tracing::debug!("a staging file stays behind: {error}");
        }
        written.and_then(|()| sync_folders(&path))
    })
    .await
    .map_err(|source| Error::JoinError { source })?;
    published.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists {
            path: location.to_string(),
            source: Box::new(source),
        },
        _ => failed(source),
    })
}

/// A new file beside `path`, and its name.
fn stage(path: &std::path::Path) -> std::io::Result<(File, PathBuf)> {
    let mut number = 1_u64;
    loop {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        match File::create_new(&staged) {
            Ok(file) => return Ok((file, staged.into())),
            Err(error) => match (error.kind(), path.parent()) {
                (ErrorKind::AlreadyExists, _) => number += 1,
                (ErrorKind::NotFound, Some(folder)) => std::fs::create_dir_all(folder)?,
                _ => return Err(error),
            },
        }
    }
}

#[async_trait]
impl ObjectStore for SyncedFileSystem {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            // Refused, as it is by every local file system.
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        let put = self.put_synced(location, payload, create).await;
        if put.is_err() {
            self.settled.store(false, Ordering::SeqCst);
        }
        put
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
