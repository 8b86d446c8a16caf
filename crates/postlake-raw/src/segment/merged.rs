//! Where the segments lie in an object that holds several: one zstd frame after the other.

use std::ops::Range;

use super::decode_header;
use crate::key::MergedKey;

/// What a zstd frame begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The bytes of each segment of the object, in order. Damage costs the segments that it is in: their
/// bytes reach to the next one that says its number, or to the end.
pub(crate) fn frames(key: &MergedKey, object: &[u8]) -> Vec<Range<usize>> {
    let mut frames = Vec::new();
    let mut at = 0;
    for wanted in key.keys() {
        let number = wanted.number().get();
        let from = next(key, object, at, number - 1);
        let rest = object.get(from..).unwrap_or_default();
        if decode_header(Some(&wanted), rest).is_err() {
            // Another one stands here; what lies before it is what is left of this one.
            frames.push(at..from);
            at = from;
            continue;
        }
        let end = match zstd::zstd_safe::find_frame_compressed_size(rest) {
            Ok(bytes) => from.saturating_add(bytes).min(object.len()),
            Err(_) => next(key, object, from + 1, number),
        };
        frames.push(from..end);
        at = end;
    }
    frames
}

/// Where, from `from` on, the next segment with a number above `after` begins; the end if none does.
fn next(key: &MergedKey, object: &[u8], from: usize, after: u64) -> usize {
    let rest = object.get(from..).unwrap_or_default();
    let mut places = rest.windows(MAGIC.len()).enumerate();
    let found = places.find(|(place, magic)| {
        *magic == MAGIC
            && rest.get(*place..).is_some_and(|start| {
                decode_header(None, start).is_ok_and(|header| {
                    header.stream == key.stream() && header.number.get() > after
                })
            })
    });
    from + found.map_or(rest.len(), |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, SourceKind};
    use crate::key::{SegmentNumber, StreamName};
    use crate::segment::{decode, encode};

    fn object() -> (MergedKey, Vec<Vec<u8>>) {
        let stream = StreamName::from_parts(chrono::DateTime::UNIX_EPOCH, 7);
        let number = |number| SegmentNumber::new(number).unwrap();
        let key = MergedKey::new(stream, number(3), number(6)).unwrap();
        let segments = key.keys().map(|key| {
            let body = bytes::Bytes::from(format!("[{}]", key.number()));
            let at = chrono::DateTime::UNIX_EPOCH;
            let batch = Batch::new(SourceKind::Event, at, None, Vec::new(), body);
            encode(&key, &[batch]).unwrap().to_vec()
        });
        (key, segments.collect())
    }

    #[test]
    fn segments_of_a_merged_object_are_found_as_they_were() {
        let (key, segments) = object();
        let object = segments.concat();
        let found = frames(&key, &object);
        let found: Vec<_> = found
            .into_iter()
            .map(|range| object[range].to_vec())
            .collect();
        assert_eq!(found, segments);
    }

    #[test]
    fn every_flipped_byte_of_a_merged_object_costs_one_segment_at_most() {
        let (key, segments) = object();
        let whole = segments.concat();
        for place in 0..whole.len() {
            let mut object = whole.clone();
            object[place] ^= 0x5a;
            let found = frames(&key, &object);
            assert_eq!(found.len(), segments.len());
            let right = key.keys().zip(&found).zip(&segments);
            let right = right.filter(|((key, range), segment)| {
                let bytes = &object[(*range).clone()];
                let read = decode(Some(key), bytes).ok();
                // What is read is what was landed.
                assert!(
                    read.is_none() || read == decode(Some(key), segment).ok(),
                    "{place}"
                );
                read.is_some()
            });
            assert!(right.count() >= segments.len() - 1, "{place}");
        }
        for end in 0..whole.len() {
            let found = frames(&key, &whole[..end]);
            let mut begins = 0;
            for ((key, range), segment) in key.keys().zip(found).zip(&segments) {
                begins += segment.len();
                let read = decode(Some(&key), &whole[..end][range]).is_ok();
                assert_eq!(read, begins <= end, "{end}");
            }
        }
    }
}
