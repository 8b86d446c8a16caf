//! Raw segments: any bytes as an object, as what an object holds, and as bodies that are written and read.

use bytes::Bytes;
use chrono::DateTime;
use postlake_raw::segment::{decode, decode_header, encode, salvage};
use postlake_raw::{Batch, SegmentKey, SegmentNumber, SourceKind, StreamName};

pub(super) fn check(input: &[u8]) {
    object(input);
    let mut frame = zstd::bulk::Compressor::new(1).unwrap();
    frame.include_checksum(true).unwrap();
    object(&frame.compress(input).unwrap());
    written(input);
}

fn object(object: &[u8]) {
    let salvaged = salvage(object);
    let header = decode_header(None, object);
    let Ok(segment) = decode(None, object) else {
        return;
    };
    assert_eq!(header.unwrap(), segment.header);
    assert!(salvaged.faults.is_empty(), "{:?}", salvaged.faults);
    assert_eq!(salvaged.batches, segment.batches);
    let key = SegmentKey::new(segment.header.stream, segment.header.number);
    let again = encode(&key, &segment.batches).unwrap();
    assert_eq!(decode(Some(&key), &again).unwrap().batches, segment.batches);
}

/// Up to a line feed each a batch; its first byte says which byte of the object is changed afterwards.
fn written(input: &[u8]) {
    let key = SegmentKey::new(
        StreamName::from_parts(DateTime::UNIX_EPOCH, 7),
        SegmentNumber::FIRST,
    );
    let batches: Vec<Batch> = input
        .split(|byte| *byte == b'\n')
        .map(|body| {
            let id = body
                .get(..8)
                .map(|id| String::from_utf8_lossy(id).into_owned());
            let headers = vec![(
                "content-type".to_owned(),
                String::from_utf8_lossy(body).into_owned(),
            )];
            let headers = if body.len() < 1000 {
                headers
            } else {
                Vec::new()
            };
            Batch::new(
                SourceKind::Event,
                DateTime::UNIX_EPOCH,
                id,
                headers,
                Bytes::copy_from_slice(body),
            )
        })
        .collect();
    let object = encode(&key, &batches).unwrap();
    assert_eq!(decode(Some(&key), &object).unwrap().batches, batches);
    let Some(first) = input.first() else {
        return;
    };
    let mut damaged = object.to_vec();
    let place = usize::from(*first) * damaged.len() / 256;
    damaged[place] ^= first.max(&1);
    if let Ok(segment) = decode(Some(&key), &damaged) {
        assert_eq!(segment.batches, batches, "a changed byte was not seen");
    }
    assert!(
        decode(Some(&key), &object[..place]).is_err(),
        "a cut object was not seen"
    );
}
