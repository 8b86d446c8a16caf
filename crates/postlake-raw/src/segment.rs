//! What is inside a raw segment: encode and decode, format version 1 (see the crate page).
//!
//! Decode trusts nothing: sizes are capped before memory is taken, the frame must carry its content
//! size and checksum and must be the only thing in the object, and each body must have the length
//! and the SHA-256 that its envelope says. Offsets in errors count decompressed bytes, which is
//! what `zstdcat` prints.

pub(crate) mod merged;
mod salvage;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Envelope, digest};
use crate::key::{SegmentKey, SegmentNumber, StreamName};

pub use salvage::{Salvage, salvage};

/// Word in the header line that says the object is one of ours.
pub const FORMAT_NAME: &str = "postlake-raw";
/// Version that [`encode`] writes.
pub const FORMAT_VERSION: u16 = 1;
/// Most bytes a segment has when decompressed.
pub const MAX_SEGMENT_BYTES: u64 = 256 * 1024 * 1024;
/// Most bytes a segment has in the store; zstd enlarges what it cannot compress by less than that.
pub const MAX_OBJECT_BYTES: u64 = MAX_SEGMENT_BYTES + MAX_SEGMENT_BYTES / 128;
/// Most bytes of an envelope line, its newline not counted.
pub const MAX_ENVELOPE_BYTES: usize = 64 * 1024;
/// Most bytes of the header line, its newline not counted.
pub const MAX_HEADER_BYTES: usize = 1024;
/// So many bytes at the start of an object hold the header line: a block of zstd is given out whole, and
/// is of 128 KiB at most. Before it stand the frame's head of 18 bytes and the block's of 3.
pub const HEADER_OBJECT_BYTES: u64 = 128 * 1024 + 18 + 3;

const ZSTD_LEVEL: i32 = 1;
/// Where zstd keeps the frame's flags, and what they are in ours: a checksum, no dictionary,
/// unused and reserved bits clear. The upper three bits say how sizes are written and are free.
const FRAME_FLAGS_AT: usize = 4;
const FRAME_FLAGS_MASK: u8 = 0b0001_1111;
const FRAME_FLAGS: u8 = 0b0000_0100;

/// A segment that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Decompressed, the segment has or would have more than [`MAX_SEGMENT_BYTES`].
    #[error("segment of {bytes} bytes decompressed, {MAX_SEGMENT_BYTES} is the most")]
    TooLarge {
        /// The size found, or promised by the frame.
        bytes: u64,
    },
    /// The object is not a zstd frame as we write it: other magic, no checksum or no content size.
    #[error("not a zstd frame with content size and checksum")]
    NotAFrame,
    /// zstd refused; when reading, the object is cut off or altered.
    #[error("zstd failed after {offset} decompressed bytes")]
    Zstd {
        /// Decompressed bytes before the failure.
        offset: u64,
        /// What zstd said.
        #[source]
        source: io::Error,
    },
    /// Bytes follow the frame.
    #[error("{bytes} bytes follow the zstd frame")]
    TrailingBytes {
        /// How many.
        bytes: u64,
    },
    /// A line does not end within its limit or at all.
    #[error("line at offset {offset} does not end within {limit} bytes")]
    UnendedLine {
        /// Where the line starts.
        offset: u64,
        /// The most bytes it may have.
        limit: usize,
    },
    /// The first line is not a header of ours.
    #[error("header line at offset 0 cannot be read")]
    Header {
        /// What the JSON reader said.
        #[source]
        source: serde_json::Error,
    },
    /// The header names another format, or a version this build does not know.
    #[error("format {format:?} version {version} is not known to this build")]
    UnknownFormat {
        /// Format name in the header.
        format: String,
        /// Version in the header.
        version: u64,
    },
    /// The segment says it is another one than the one asked for.
    #[error("segment {found_stream} number {found_number} stands under the name of {expected}")]
    WrongKey {
        /// The name it was read by.
        expected: SegmentKey,
        /// Stream in the header.
        found_stream: StreamName,
        /// Number in the header.
        found_number: SegmentNumber,
    },
    /// An envelope line cannot be read or written.
    #[error("envelope of batch {index} at offset {offset} is not valid")]
    Envelope {
        /// Place of the batch in the segment, from 0.
        index: usize,
        /// Where the line starts.
        offset: u64,
        /// What the JSON reader said.
        #[source]
        source: serde_json::Error,
    },
    /// An envelope does not fit its line ([`MAX_ENVELOPE_BYTES`]) or says another length than the body has.
    #[error("envelope of batch {index} does not fit its line or its body")]
    UnfitEnvelope {
        /// Place of the batch in the segment, from 0.
        index: usize,
    },
    /// The segment ends before the body and its newline do, or no newline follows the body.
    #[error(
        "body of batch {index} at offset {offset} has not the {expected} bytes of its envelope"
    )]
    BodyLength {
        /// Place of the batch in the segment, from 0.
        index: usize,
        /// Where the body starts.
        offset: u64,
        /// Length in the envelope.
        expected: u64,
    },
    /// The body's bytes are not those that were received.
    #[error("body of batch {index} at offset {offset} has another SHA-256 than its envelope")]
    BodyDigest {
        /// Place of the batch in the segment, from 0.
        index: usize,
        /// Where the body starts.
        offset: u64,
    },
}

/// What the header line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Format version the segment was written in.
    pub version: u16,
    /// Stream the segment belongs to.
    pub stream: StreamName,
    /// Place in the stream.
    pub number: SegmentNumber,
}

/// A decoded segment; every body has been compared with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What the header line says.
    pub header: SegmentHeader,
    /// The batches in the order they were landed. Their bodies share one buffer.
    pub batches: Vec<Batch>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    format: String,
    version: u16,
    stream: StreamName,
    number: SegmentNumber,
}

/// The part of a header that every version has.
#[derive(Deserialize)]
struct FormatLine {
    format: String,
    version: u64,
}

/// Writes `batches` as the object that stands under `key`. Bodies go to the compressor as they are,
/// without a copy. CPU work: call it off the async threads.
///
/// On `Ok`, [`decode`] gives the same batches back. An error means that nothing can be written so:
/// more than [`MAX_SEGMENT_BYTES`], an envelope of more than [`MAX_ENVELOPE_BYTES`], or an envelope
/// that does not tell its body's length.
pub fn encode(key: &SegmentKey, batches: &[Batch]) -> Result<Bytes, SegmentError> {
    let header = header_line(key)?;
    let envelopes = envelope_lines(batches)?;
    let bodies: u64 = batches
        .iter()
        .map(|batch| batch.body.len() as u64 + 1)
        .sum();
    let lines: usize = envelopes.iter().map(Vec::len).sum();
    let bytes = (header.len() + lines) as u64 + bodies;
    if bytes > MAX_SEGMENT_BYTES {
        return Err(SegmentError::TooLarge { bytes });
    }
    compress(&header, &envelopes, batches, bytes)
        .map(Bytes::from)
        .map_err(|source| SegmentError::Zstd { offset: 0, source })
}

/// Reads the object `bytes`. With `key`, the header must name that stream and number.
///
/// On `Ok` every envelope was read and every body has its length and SHA-256. Any truncation and
/// any altered byte that would change what is returned is an error. Takes at most
/// [`MAX_SEGMENT_BYTES`] of memory, whatever the input. CPU work: call it off the async threads.
pub fn decode(key: Option<&SegmentKey>, bytes: &[u8]) -> Result<Segment, SegmentError> {
    let mut lines = Lines {
        content: decompress(bytes)?,
        offset: 0,
    };
    let header = named(read_header(&lines.line(MAX_HEADER_BYTES)?)?, key)?;
    let mut batches = Vec::new();
    while !lines.at_end() {
        batches.push(read_batch(&mut lines, batches.len())?);
    }
    Ok(Segment { header, batches })
}

/// Reads the header line alone, of the first [`HEADER_OBJECT_BYTES`] of an object or more. With `key`, it
/// must name that stream and number.
///
/// On `Ok` nothing is known about the rest: there may be damage, or nothing.
pub fn decode_header(
    key: Option<&SegmentKey>,
    start: &[u8],
) -> Result<SegmentHeader, SegmentError> {
    checked_frame(start)?;
    let failed = |source| SegmentError::Zstd { offset: 0, source };
    let decoder = zstd::stream::read::Decoder::with_buffer(start).map_err(failed)?;
    let mut line = Vec::with_capacity(MAX_HEADER_BYTES + 1);
    let mut capped = BufReader::new(decoder.take(MAX_HEADER_BYTES as u64 + 1));
    capped.read_until(b'\n', &mut line).map_err(failed)?;
    let line = line.strip_suffix(b"\n").ok_or(SegmentError::UnendedLine {
        offset: 0,
        limit: MAX_HEADER_BYTES,
    })?;
    named(read_header(line)?, key)
}

fn header_line(key: &SegmentKey) -> Result<Vec<u8>, SegmentError> {
    let header = HeaderLine {
        format: FORMAT_NAME.to_owned(),
        version: FORMAT_VERSION,
        stream: key.stream(),
        number: key.number(),
    };
    json_line(&header).map_err(|source| SegmentError::Header { source })
}

fn envelope_lines(batches: &[Batch]) -> Result<Vec<Vec<u8>>, SegmentError> {
    let line = |(index, batch): (usize, &Batch)| {
        let line = json_line(&batch.envelope).map_err(|source| SegmentError::Envelope {
            index,
            offset: 0,
            source,
        })?;
        let fits = line.len() <= MAX_ENVELOPE_BYTES + 1
            && batch.envelope.body_bytes == batch.body.len() as u64;
        if fits {
            Ok(line)
        } else {
            Err(SegmentError::UnfitEnvelope { index })
        }
    };
    batches.iter().enumerate().map(line).collect()
}

fn json_line(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn compress(
    header: &[u8],
    envelopes: &[Vec<u8>],
    batches: &[Batch],
    content_bytes: u64,
) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(content_bytes))?;
    encoder.write_all(header)?;
    for (envelope, batch) in envelopes.iter().zip(batches) {
        encoder.write_all(envelope)?;
        encoder.write_all(&batch.body)?;
        encoder.write_all(b"\n")?;
    }
    encoder.finish()
}

#[expect(
    clippy::disallowed_methods,
    reason = "capped by `take(MAX_SEGMENT_BYTES + 1)`"
)]
fn decompress(bytes: &[u8]) -> Result<Bytes, SegmentError> {
    let size = checked_frame(bytes)?;
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let failed = |offset, source| SegmentError::Zstd { offset, source };
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes)
        .map_err(|source| failed(0, source))?
        .single_frame();
    let mut capped = decoder.take(MAX_SEGMENT_BYTES + 1);
    let read = capped.read_to_end(&mut content);
    read.map_err(|source| failed(content.len() as u64, source))?;
    match capped.into_inner().finish().len() as u64 {
        0 if content.len() as u64 == size => Ok(Bytes::from(content)),
        0 => Err(SegmentError::TooLarge {
            bytes: content.len() as u64,
        }),
        trailing => Err(SegmentError::TrailingBytes { bytes: trailing }),
    }
}

/// The size of the content that the frame which starts here promises, if it is a frame as ours.
fn checked_frame(bytes: &[u8]) -> Result<u64, SegmentError> {
    let flags = bytes.get(FRAME_FLAGS_AT).ok_or(SegmentError::NotAFrame)?;
    if flags & FRAME_FLAGS_MASK != FRAME_FLAGS {
        return Err(SegmentError::NotAFrame);
    }
    match zstd::zstd_safe::get_frame_content_size(bytes) {
        Ok(Some(bytes)) if bytes > MAX_SEGMENT_BYTES => Err(SegmentError::TooLarge { bytes }),
        Ok(Some(size)) => Ok(size),
        _ => Err(SegmentError::NotAFrame),
    }
}

/// The header, if it is the one of `key`.
fn named(header: SegmentHeader, key: Option<&SegmentKey>) -> Result<SegmentHeader, SegmentError> {
    match key {
        Some(key) if (header.stream, header.number) != (key.stream(), key.number()) => {
            Err(SegmentError::WrongKey {
                expected: *key,
                found_stream: header.stream,
                found_number: header.number,
            })
        }
        _ => Ok(header),
    }
}

fn read_header(line: &[u8]) -> Result<SegmentHeader, SegmentError> {
    let failed = |source| SegmentError::Header { source };
    let FormatLine { format, version } = serde_json::from_slice(line).map_err(failed)?;
    if format != FORMAT_NAME || version != u64::from(FORMAT_VERSION) {
        return Err(SegmentError::UnknownFormat { format, version });
    }
    let HeaderLine {
        version,
        stream,
        number,
        ..
    } = serde_json::from_slice(line).map_err(failed)?;
    Ok(SegmentHeader {
        version,
        stream,
        number,
    })
}

/// The envelope that starts here.
fn envelope_of(lines: &mut Lines, index: usize) -> Result<Envelope, SegmentError> {
    let offset = lines.offset as u64;
    let line = lines.line(MAX_ENVELOPE_BYTES)?;
    serde_json::from_slice(&line).map_err(|source| SegmentError::Envelope {
        index,
        offset,
        source,
    })
}

fn read_batch(lines: &mut Lines, index: usize) -> Result<Batch, SegmentError> {
    let envelope = envelope_of(lines, index)?;
    let offset = lines.offset as u64;
    let expected = envelope.body_bytes;
    let body = lines.body(expected).ok_or(SegmentError::BodyLength {
        index,
        offset,
        expected,
    })?;
    if digest(&body) != envelope.sha256 {
        return Err(SegmentError::BodyDigest { index, offset });
    }
    Ok(Batch { envelope, body })
}

/// Walks over the decompressed content; what it hands out shares the content's memory.
struct Lines {
    content: Bytes,
    offset: usize,
}

impl Lines {
    fn at_end(&self) -> bool {
        self.offset >= self.content.len()
    }

    /// The line that starts here, without its newline, at most `limit` bytes.
    fn line(&mut self, limit: usize) -> Result<Bytes, SegmentError> {
        let rest = self.content.get(self.offset..).unwrap_or_default();
        let length = rest
            .iter()
            .take(limit + 1)
            .position(|byte| *byte == b'\n')
            .ok_or(SegmentError::UnendedLine {
                offset: self.offset as u64,
                limit,
            })?;
        let line = self.content.slice(self.offset..self.offset + length);
        self.offset += length + 1;
        Ok(line)
    }

    /// The body of `length` bytes that starts here, if it is all there and a newline follows.
    fn body(&mut self, length: u64) -> Option<Bytes> {
        let end = self.offset.checked_add(usize::try_from(length).ok()?)?;
        if self.content.get(end) != Some(&b'\n') {
            return None;
        }
        let body = self.content.slice(self.offset..end);
        self.offset = end + 1;
        Some(body)
    }
}
