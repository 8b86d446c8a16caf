//! Reading and decoding, a chunk ahead of what is settled and written, on a core of its own where
//! there is one.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use postlake_event::decode::{Decoded, Decoder};
use postlake_raw::segment::SegmentError;
use postlake_raw::{Batch, Envelope, RawStore, ReadError, SegmentKey, StreamName};
use tokio::task::JoinSet;

use super::PassLimits;
use crate::batch_input::batch_input;
use crate::error::LoadError;
use crate::ledger::chain;
use crate::positions::number_of;
use crate::settle::BatchPlace;

/// A chunk is decoded when it has so many rows, or so many bytes of bodies have gone into it; what
/// the last segment has beyond that is part of it, too. Several times as much is in memory: the next chunk is in
/// the making meanwhile, and rows are copied on their way into the files.
const CHUNK_ROWS: usize = 5_000;
const CHUNK_BODY_BYTES: usize = 2 << 20;

/// Some segments, decoded.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) decoded: Decoded,
    pub(super) envelopes: Vec<Envelope>,
    pub(super) places: Vec<BatchPlace>,
    pub(super) damaged: Vec<(SegmentKey, ReadError)>,
    /// For each stream the last of these segments.
    pub(super) reached: BTreeMap<StreamName, i64>,
    pub(super) segments: u64,
}

/// The segments of a pass, as far as they are not decoded yet.
#[derive(Debug)]
pub(super) struct Source {
    raw: RawStore,
    segments: std::vec::IntoIter<SegmentKey>,
    limits: PassLimits,
    started: Instant,
    decoder: Decoder,
    rows: usize,
    body_bytes: usize,
    /// Streams whose next segment cannot be had: nothing behind it may be taken either.
    blocked: HashSet<StreamName>,
    part: Part,
}

/// What the chunk in the making holds besides the decoder's rows.
#[derive(Debug, Default)]
struct Part {
    envelopes: Vec<Envelope>,
    places: Vec<BatchPlace>,
    damaged: Vec<(SegmentKey, ReadError)>,
    reached: BTreeMap<StreamName, i64>,
    segments: u64,
    body_bytes: usize,
}

impl Source {
    pub(super) fn new(raw: RawStore, segments: Vec<SegmentKey>, limits: PassLimits) -> Source {
        Source {
            raw,
            segments: segments.into_iter(),
            limits,
            started: Instant::now(),
            decoder: Decoder::default(),
            rows: 0,
            body_bytes: 0,
            blocked: HashSet::new(),
            part: Part::default(),
        }
    }

    /// True if the limits have left segments.
    pub(super) fn is_cut(&self) -> bool {
        self.segments.len() > 0
    }

    pub(super) fn blocked_streams(&self) -> usize {
        self.blocked.len()
    }

    /// The next chunk; none at the end of the segments, or when the pass has enough.
    pub(super) async fn chunk(&mut self) -> Result<Option<Chunk>, LoadError> {
        while !self.has_enough() && !self.has_chunk() {
            let Some(key) = self.segments.next() else {
                break;
            };
            self.take(&key).await?;
        }
        if self.part.segments == 0 {
            return Ok(None);
        }
        let part = std::mem::take(&mut self.part);
        self.rows += self.decoder.rows();
        self.body_bytes += part.body_bytes;
        Ok(Some(Chunk {
            decoded: self.decoder.finish().map_err(LoadError::Rows)?,
            envelopes: part.envelopes,
            places: part.places,
            damaged: part.damaged,
            reached: part.reached,
            segments: part.segments,
        }))
    }

    fn has_enough(&self) -> bool {
        self.body_bytes + self.part.body_bytes >= self.limits.body_bytes
            || self.rows + self.decoder.rows() >= self.limits.rows
            // The first segment is always taken: a pass gets on, however slow the store is.
            || self.rows + self.part.places.len() > 0 && self.started.elapsed() >= self.limits.age
    }

    fn has_chunk(&self) -> bool {
        self.decoder.rows() >= CHUNK_ROWS || self.part.body_bytes >= CHUNK_BODY_BYTES
    }

    async fn take(&mut self, key: &SegmentKey) -> Result<(), LoadError> {
        if self.blocked.contains(&key.stream()) {
            return Ok(());
        }
        match self.raw.read(key).await {
            Ok(segment) => {
                for (index, batch) in segment.batches.into_iter().enumerate() {
                    self.decode(key, index, batch);
                }
            }
            Err(ReadError::Damaged {
                key,
                source: source @ SegmentError::UnknownFormat { .. },
            }) => {
                // Not damaged but newer than this release: passing over it would lose it.
                return Err(LoadError::Newer { key, source });
            }
            Err(error @ ReadError::Damaged { .. }) => {
                tracing::error!(segment.key = %key.path(), "a raw segment is damaged and was quarantined");
                self.part.damaged.push((*key, error));
            }
            Err(error @ ReadError::Cancelled { .. }) => return Err(LoadError::Read(error)),
            Err(error) => {
                tell_blocked(&error);
                self.blocked.insert(key.stream());
                return Ok(());
            }
        }
        self.part.reached.insert(key.stream(), number_of(key));
        self.part.segments += 1;
        Ok(())
    }

    fn decode(&mut self, key: &SegmentKey, index: usize, batch: Batch) {
        let stream = key.stream().to_string();
        let input = batch_input(key, &stream, index, &batch);
        let batch_index = input.batch_index;
        self.decoder.decode(&input);
        self.part.body_bytes += batch.body.len();
        // The rows hold what was decoded; the ledger needs the envelope alone.
        self.part.envelopes.push(batch.envelope);
        self.part.places.push(BatchPlace {
            segment: *key,
            batch_index,
        });
    }
}

pub(super) fn tell_blocked(fault: &dyn std::error::Error) {
    tracing::error!("a stream is passed over for now: {}", chain(fault));
}

/// A source at work on its next chunk. Dropped, it stops.
pub(super) struct Ahead {
    work: JoinSet<(Source, Result<Option<Chunk>, LoadError>)>,
}

impl Ahead {
    pub(super) fn start(mut source: Source) -> Ahead {
        let mut work = JoinSet::new();
        work.spawn(async move {
            let chunk = source.chunk().await;
            (source, chunk)
        });
        Ahead { work }
    }

    /// The chunk, and the source to start again.
    pub(super) async fn chunk(mut self) -> Result<(Source, Option<Chunk>), LoadError> {
        match self.work.join_next().await {
            Some(Ok((source, chunk))) => Ok((source, chunk?)),
            Some(Err(error)) => match error.try_into_panic() {
                // A defect in decoding is one of the pass.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Err(LoadError::Stopped),
            },
            None => Err(LoadError::Stopped),
        }
    }
}
