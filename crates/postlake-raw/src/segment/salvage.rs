//! What can still be read of a damaged segment.

use std::io::Read as _;

use bytes::Bytes;

use super::{Lines, MAX_HEADER_BYTES, MAX_SEGMENT_BYTES, SegmentError, digest, envelope_of};
use crate::batch::Batch;

/// Bytes that are taken from the decompressor at a time.
const STEP_BYTES: usize = 64 << 10;

/// Most faults that are told one by one.
const MOST_TOLD: usize = 100;

/// The batches of a damaged segment whose bodies are what was received, and what is wrong with the rest.
#[derive(Debug, Default)]
pub struct Salvage {
    /// Batches whose bodies have the length and the SHA-256 of their envelopes. Envelopes have no sum of
    /// their own: in a segment whose own sum is wrong, what an envelope says beside that may be altered.
    pub batches: Vec<Batch>,
    /// What is wrong, with places in decompressed bytes; empty for a segment that is not damaged.
    pub faults: Vec<String>,
    /// Bytes that could be decompressed.
    pub bytes: u64,
}

/// Reads what can be read of an object. Never fails, whatever the bytes; takes at most
/// [`MAX_SEGMENT_BYTES`] of memory. CPU work: call it off the async threads.
///
/// Everything in front of the damage is there. What stands behind it is there as long as its beginning is
/// certain: behind a body of the right length with other bytes in it.
pub fn salvage(object: &[u8]) -> Salvage {
    let mut salvage = Salvage::default();
    let content = prefix(object, &mut salvage.faults);
    salvage.bytes = content.len() as u64;
    let mut lines = Lines { content, offset: 0 };
    if let Err(error) = lines.line(MAX_HEADER_BYTES) {
        salvage.tell(&error);
        return salvage;
    }
    let mut index = 0;
    while !lines.at_end() {
        match next(&mut lines, index) {
            Ok(batch) => salvage.batches.push(batch),
            Err(error @ SegmentError::BodyDigest { .. }) => salvage.tell(&error),
            Err(error) => {
                salvage.tell(&error);
                break;
            }
        }
        index += 1;
    }
    salvage
}

impl Salvage {
    fn tell(&mut self, error: &SegmentError) {
        if self.faults.len() < MOST_TOLD {
            self.faults.push(error.to_string());
        }
    }
}

fn next(lines: &mut Lines, index: usize) -> Result<Batch, SegmentError> {
    let envelope = envelope_of(lines, index)?;
    let (offset, expected) = (lines.offset as u64, envelope.body_bytes);
    let body = lines.body(expected).ok_or(SegmentError::BodyLength {
        index,
        offset,
        expected,
    })?;
    // The lines go on behind it either way.
    if digest(&body) != envelope.sha256 {
        return Err(SegmentError::BodyDigest { index, offset });
    }
    Ok(Batch { envelope, body })
}

/// What can be decompressed, up to the first fault.
fn prefix(object: &[u8], faults: &mut Vec<String>) -> Bytes {
    let mut content = Vec::new();
    let mut decoder = match zstd::stream::read::Decoder::with_buffer(object) {
        Ok(decoder) => decoder.single_frame().take(MAX_SEGMENT_BYTES),
        Err(error) => {
            faults.push(format!("it cannot be decompressed: {error}"));
            return Bytes::new();
        }
    };
    let mut step = vec![0; STEP_BYTES];
    loop {
        match decoder.read(&mut step) {
            Ok(0) => return Bytes::from(content),
            Ok(read) => content.extend_from_slice(step.get(..read).unwrap_or_default()),
            Err(error) => {
                let at = content.len();
                faults.push(format!(
                    "it cannot be decompressed behind byte {at}: {error}"
                ));
                return Bytes::from(content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::batch::SourceKind;
    use crate::key::{SegmentKey, SegmentNumber, StreamName};
    use crate::segment::encode;

    fn key() -> SegmentKey {
        let stream = StreamName::from_parts(DateTime::UNIX_EPOCH, 7);
        SegmentKey::new(stream, SegmentNumber::FIRST)
    }

    fn batch(number: u8, body: Vec<u8>) -> Batch {
        let id = Some(format!("batch-{number}"));
        let at: DateTime<Utc> = DateTime::UNIX_EPOCH;
        Batch::new(SourceKind::Event, at, id, Vec::new(), body.into())
    }

    fn small() -> Vec<Batch> {
        let bodies = (0..4).map(|number| format!("[{number},\n{{\"a\":{number}}}]").into_bytes());
        (0..4)
            .zip(bodies)
            .map(|(number, body)| batch(number, body))
            .collect()
    }

    fn bodies(batches: &[Batch]) -> Vec<&Bytes> {
        batches.iter().map(|batch| &batch.body).collect()
    }

    /// Nothing is given out that was not received.
    fn invents_nothing(found: &Salvage, batches: &[Batch]) {
        let received = bodies(batches);
        for body in bodies(&found.batches) {
            assert!(received.contains(&body), "{body:?}");
        }
    }

    #[test]
    fn a_whole_segment_is_salvaged_whole() {
        let batches = small();
        let found = salvage(&encode(&key(), &batches).unwrap());
        assert_eq!(found.batches, batches);
        assert_eq!(found.faults, [""; 0]);
    }

    #[test]
    fn a_segment_cut_at_any_byte_gives_a_beginning_of_its_batches() {
        // Large and dense enough for several blocks: a cut costs what is in its block.
        let mut noise = StdRng::seed_from_u64(5);
        let batches: Vec<Batch> = (0..6)
            .map(|number| {
                let mut body = vec![0; if number < 5 { 70_000 } else { 300 }];
                rand::Rng::fill_bytes(&mut noise, &mut body);
                batch(number, body)
            })
            .collect();
        let object = encode(&key(), &batches).unwrap();
        let mut most = 0;
        // Every byte of the last record, and some of all others.
        let last = object.len() - 700;
        for length in (0..last).step_by(997).chain(last..object.len()) {
            let found = salvage(object.get(..length).unwrap());
            let whole = found.batches.len();
            assert_eq!(found.batches, batches[..whole], "cut to {length} bytes");
            assert!(!found.faults.is_empty(), "cut to {length} bytes");
            assert!(whole >= most, "a longer beginning has no less in it");
            most = whole;
        }
        assert!(most >= 4, "{most}");
    }

    #[test]
    fn every_flipped_bit_of_a_small_segment_invents_nothing() {
        let batches = small();
        let object = encode(&key(), &batches).unwrap();
        for bit in 0..object.len() * 8 {
            let mut altered = object.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            invents_nothing(&salvage(&altered), &batches);
        }
    }

    #[test]
    fn behind_a_body_with_other_bytes_the_next_one_is_found() {
        let batches = small();
        let object = encode(&key(), &batches).unwrap();
        let mut plain = super::super::decompress(&object).unwrap().to_vec();
        let at = plain.windows(3).position(|three| three == b"[1,").unwrap();
        plain[at + 1] = b'7';
        let found = salvage(&zstd::bulk::compress(&plain, 1).unwrap());
        let left = [&batches[0], &batches[2], &batches[3]].map(Clone::clone);
        assert_eq!(found.batches, left);
        assert_eq!(found.faults.len(), 1);
        assert!(
            found.faults[0].contains("batch 1 at offset"),
            "{:?}",
            found.faults
        );
    }

    #[test]
    fn what_is_no_segment_gives_nothing() {
        for object in [&b""[..], b"x", b"not a frame at all", &[0; 100]] {
            let found = salvage(object);
            assert!(found.batches.is_empty() && !found.faults.is_empty());
        }
        let garbage = [encode(&key(), &small()).unwrap().as_ref(), b"tail"].concat();
        assert_eq!(salvage(&garbage).batches, small());
    }
}
