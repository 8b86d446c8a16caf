//! Objects that other receivers have written, landed as batches: an import.
//!
//! Each object is one body. It is landed byte for byte, in a segment of a stream of the import's own, its
//! envelope naming the object; the loader takes it from there like anything that was received.
//!
//! **Where an import stands** is written in what it writes: the random part of its streams' names is made
//! of the source's address, and the envelopes in them say which objects are landed. An import that was
//! broken off, or is run again, reads them back and lands the others. An object that was written anew
//! since counts as another one.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures::StreamExt as _;
use futures::future::join_all;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::batch::{Batch, Envelope, SourceKind};
use crate::clock::Clock;
use crate::key::{SegmentKey, SegmentNumber, StreamName};
use crate::segment;
use crate::store::{LandError, ListError, RawStore, ReadError};

/// The name in an envelope's headers under which the object's name stands.
pub const OBJECT_HEADER: &str = "postlake-import-object";

/// The name under which stands when the object was written, if that is later than it was imported.
pub const WRITTEN_HEADER: &str = "postlake-import-written-at";

/// Largest object that is imported, in bytes: that of a request.
pub const MAX_OBJECT_BYTES: u64 = 32 * 1024 * 1024;

/// Objects that are named in a report; all are counted.
pub const MAX_NAMED: usize = 20;

/// Objects that are read at the same time.
const READS_AT_A_TIME: usize = 8;
/// A segment is landed when it has so many batches or bytes of them.
const SEGMENT_BATCHES: usize = if cfg!(test) { 3 } else { 1000 };
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// What the score files of the original functions are called, and ours.
const SCORE_PREFIX: &str = "HS-";
/// What a gzip file begins with (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What was written for a batch without an id.
const NO_ID: [&str; 3] = ["None", "null", "undefined"];

/// What to import, and from where.
#[derive(Debug, Clone)]
pub struct Source {
    /// The objects, and nothing else.
    pub store: Arc<dyn ObjectStore>,
    /// Its address; what was imported is known by it.
    pub address: String,
    /// What its objects are; if nobody says, `HS-...` are alerts and others are batches of events.
    pub kind: Option<SourceKind>,
}

/// What came of an import so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Objects that are landed as batches of events.
    pub events: u64,
    /// Objects that are landed as alerts.
    pub alerts: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Objects that an earlier run has landed.
    pub known: u64,
    /// Objects that are no bodies: empty, too large, or neither JSON nor gzip.
    pub passed_over: Left,
    /// Objects that could not be read; another run tries again.
    pub unread: Left,
}

/// Objects that were left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// How many.
    pub count: u64,
    /// The first of them, each with its reason.
    pub named: Vec<(String, String)>,
}

impl Left {
    fn add(&mut self, name: String, reason: String) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push((name, reason));
        }
    }
}

/// Why an import was broken off. What it has landed stands; another run goes on behind it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source did not say what it has.
    #[error("listing {address} failed")]
    Source {
        /// The source.
        address: String,
        /// What its store said.
        #[source]
        source: object_store::Error,
    },
    /// Streams of earlier runs cannot be listed.
    #[error("what was imported before cannot be listed")]
    Known(#[source] ListError),
    /// A segment of an earlier run cannot be read.
    #[error("what was imported before cannot be read")]
    KnownSegment(#[source] ReadError),
    /// A segment cannot be written.
    #[error("the batches do not fit into a segment")]
    Encode(#[source] segment::SegmentError),
    /// A segment was not landed.
    #[error("landing what was imported failed")]
    Land(#[source] LandError),
    /// The thread that encodes was cancelled, as happens when the runtime shuts down.
    #[error("encoding was cancelled")]
    Cancelled,
}

/// Lands the objects of `source` that no earlier run has landed, in the order of their names. `tell`
/// hears how far it is, after each few objects.
///
/// On `Ok` every object is landed or named in the report. On `Err` see [`ImportError`]. Two imports of
/// one source at the same time may land an object twice, which the loader takes for a resend.
pub async fn import(
    source: &Source,
    raw: &RawStore,
    clock: &dyn Clock,
    tell: &mut (dyn FnMut(&Imported) + Send),
) -> Result<Imported, ImportError> {
    let mark = mark_of(&source.address);
    let known = Known::read(raw, mark).await?;
    let now = clock.now();
    let mut landing = Landing::new(raw, known.next_stream(now, mark));
    let mut imported = Imported::default();
    let failed = |error| ImportError::Source {
        address: source.address.clone(),
        source: error,
    };
    let mut objects = source.store.list(None).chunks(READS_AT_A_TIME);
    while let Some(chunk) = objects.next().await {
        let chunk: Vec<ObjectMeta> = chunk
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let is_new = |object: &&ObjectMeta| !known.objects.contains(&identity_of(object));
        let new: Vec<_> = chunk.iter().filter(is_new).collect();
        imported.known += (chunk.len() - new.len()) as u64;
        for body in join_all(new.into_iter().map(|object| read(source, object, now))).await {
            match body {
                Body::Batch(batch) => {
                    imported.count(&batch.envelope);
                    landing.add(*batch).await?;
                }
                Body::None(name, reason) => imported.passed_over.add(name, reason),
                Body::Unread(name, reason) => imported.unread.add(name, reason),
            }
        }
        tell(&imported);
    }
    landing.land().await?;
    Ok(imported)
}

impl Imported {
    fn count(&mut self, envelope: &Envelope) {
        self.bytes += envelope.body_bytes;
        match envelope.source {
            SourceKind::Event => self.events += 1,
            SourceKind::Alert => self.alerts += 1,
        }
    }
}

/// What an object is.
enum Body {
    Batch(Box<Batch>),
    None(String, String),
    Unread(String, String),
}

async fn read(source: &Source, object: &ObjectMeta, now: DateTime<Utc>) -> Body {
    let name = object.location.to_string();
    let none = |reason: &str| Body::None(name.clone(), reason.to_owned());
    if object.size == 0 {
        return none("it is empty");
    }
    if object.size > MAX_OBJECT_BYTES {
        return none(&format!(
            "it has {} bytes, {MAX_OBJECT_BYTES} are the most",
            object.size
        ));
    }
    let bytes = match source.store.get(&object.location).await {
        Ok(got) => got.bytes().await,
        Err(error) => Err(error),
    };
    match bytes {
        Ok(bytes) if !is_json_or_gzip(&bytes) => none("it is neither json nor gzip"),
        Ok(bytes) => Body::Batch(Box::new(batch(source.kind, object, bytes, now))),
        Err(object_store::Error::NotFound { .. }) => none("it is gone since it was listed"),
        Err(error) => Body::Unread(name, text_of(&error)),
    }
}

fn text_of(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) if !error.to_string().contains(&cause.to_string()) => {
            format!("{error}: {}", text_of(cause))
        }
        _ => error.to_string(),
    }
}

fn is_json_or_gzip(bytes: &[u8]) -> bool {
    let json = bytes.trim_ascii_start().first();
    bytes.starts_with(&GZIP_MAGIC) || json.is_some_and(|byte| matches!(byte, b'[' | b'{'))
}

/// The body as it is; when it was received is when the object was written. Nothing was received in the
/// future, so an object that says so was received now, and what it says is noted.
fn batch(kind: Option<SourceKind>, object: &ObjectMeta, body: Bytes, now: DateTime<Utc>) -> Batch {
    let file = object.location.filename().unwrap_or_default();
    let kind = kind.unwrap_or(match file.starts_with(SCORE_PREFIX) {
        true => SourceKind::Alert,
        false => SourceKind::Event,
    });
    let mut headers = vec![(OBJECT_HEADER.to_owned(), object.location.to_string())];
    if body.starts_with(&GZIP_MAGIC) {
        headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
    }
    let id = batch_id(file).filter(|_| kind == SourceKind::Event);
    let written_at = object.last_modified;
    if written_at > now {
        let said = written_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        headers.push((WRITTEN_HEADER.to_owned(), said));
    }
    Batch::new(kind, written_at.min(now), id, headers, body)
}

/// The id that the object is named after.
fn batch_id(file: &str) -> Option<String> {
    let file = file.strip_suffix(".gz").unwrap_or(file);
    let id = file.strip_suffix(".json").unwrap_or(file);
    (!id.is_empty() && !NO_ID.contains(&id)).then(|| id.to_owned())
}

/// Half a digest: so many objects that two of one import have the same there are not.
type Identity = [u8; 16];

fn identity(name: &str, written_at: DateTime<Utc>, bytes: u64) -> Identity {
    let text = format!("{bytes} {} {name}", written_at.timestamp_micros());
    let mut identity = Identity::default();
    identity
        .iter_mut()
        .zip(Sha256::digest(text))
        .for_each(|(to, from)| *to = from);
    identity
}

fn identity_of(object: &ObjectMeta) -> Identity {
    identity(object.location.as_ref(), object.last_modified, object.size)
}

/// The random part of the names of the streams of a source.
fn mark_of(address: &str) -> u64 {
    let digest = Sha256::digest(format!("postlake-import {address}"));
    digest
        .iter()
        .take(8)
        .fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

/// What earlier runs have landed.
#[derive(Default)]
struct Known {
    objects: HashSet<Identity>,
    newest: Option<StreamName>,
}

impl Known {
    async fn read(raw: &RawStore, mark: u64) -> Result<Known, ImportError> {
        let mut known = Known::default();
        for date in raw.dates().await.map_err(ImportError::Known)? {
            for stream in raw.streams(date).await.map_err(ImportError::Known)? {
                if stream.mark() == mark {
                    known.newest = known.newest.max(Some(stream));
                    known.add(raw, stream).await?;
                }
            }
        }
        Ok(known)
    }

    async fn add(&mut self, raw: &RawStore, stream: StreamName) -> Result<(), ImportError> {
        let mut after = 0;
        loop {
            let segments = raw.segments_after(stream.date(), stream, after).await;
            let segments = segments.map_err(ImportError::Known)?;
            let Some(last) = segments.last() else {
                return Ok(());
            };
            after = last.number().get();
            for key in &segments {
                match raw.read(key).await {
                    Ok(segment) => self.add_batches(&segment.batches),
                    // Nobody can load it, so its objects are wanted once more.
                    Err(ReadError::Damaged { key, source }) => {
                        warn!(segment.key = %key, error = &source as &dyn Error, "damaged, its objects are imported again");
                    }
                    Err(error) => return Err(ImportError::KnownSegment(error)),
                }
            }
        }
    }

    fn add_batches(&mut self, batches: &[Batch]) {
        let identities = batches.iter().filter_map(|batch| {
            let envelope = &batch.envelope;
            let header = |wanted: &str| {
                let mut headers = envelope.headers.iter();
                headers.find_map(|(header, value)| (header == wanted).then_some(value.as_str()))
            };
            let said = header(WRITTEN_HEADER).and_then(|at| DateTime::parse_from_rfc3339(at).ok());
            let written_at = said.map_or(envelope.received_at, |at| at.to_utc());
            Some(identity(
                header(OBJECT_HEADER)?,
                written_at,
                envelope.body_bytes,
            ))
        });
        self.objects.extend(identities);
    }

    /// A name that none of them has, however soon this run follows the last one.
    fn next_stream(&self, now: DateTime<Utc>, mark: u64) -> StreamName {
        let after = self
            .newest
            .map(|newest| newest.started_at() + TimeDelta::seconds(1));
        StreamName::from_parts(after.map_or(now, |after| after.max(now)), mark)
    }
}

/// The segment that is being filled.
struct Landing<'a> {
    raw: &'a RawStore,
    key: SegmentKey,
    batches: Vec<Batch>,
    bytes: u64,
}

impl<'a> Landing<'a> {
    fn new(raw: &'a RawStore, stream: StreamName) -> Landing<'a> {
        Landing {
            raw,
            key: SegmentKey::new(stream, SegmentNumber::FIRST),
            batches: Vec::new(),
            bytes: 0,
        }
    }

    async fn add(&mut self, batch: Batch) -> Result<(), ImportError> {
        self.bytes += batch.envelope.body_bytes;
        self.batches.push(batch);
        match self.batches.len() >= SEGMENT_BATCHES || self.bytes >= SEGMENT_BYTES {
            true => self.land().await,
            false => Ok(()),
        }
    }

    /// On `Ok` everything that was added is durable.
    async fn land(&mut self) -> Result<(), ImportError> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let (key, batches) = (self.key, std::mem::take(&mut self.batches));
        self.bytes = 0;
        let bytes = tokio::task::spawn_blocking(move || segment::encode(&key, &batches));
        let bytes = bytes.await.map_err(|_cancelled| ImportError::Cancelled)?;
        let bytes = bytes.map_err(ImportError::Encode)?;
        self.raw
            .land(&key, bytes)
            .await
            .map_err(ImportError::Land)?;
        let next = key.number().next().unwrap_or(SegmentNumber::LAST);
        self.key = SegmentKey::new(key.stream(), next);
        Ok(())
    }
}
