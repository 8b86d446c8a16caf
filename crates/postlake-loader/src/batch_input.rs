//! A batch of a raw segment as the decoder takes it.

use postlake_event::decode::BatchInput;
use postlake_raw::{Batch, SegmentKey};

use crate::positions::number_of;

/// `stream` is the text of the key's.
pub(crate) fn batch_input<'a>(
    key: &SegmentKey,
    stream: &'a str,
    index: usize,
    batch: &'a Batch,
) -> BatchInput<'a> {
    let mut headers = batch.envelope.headers.iter();
    let encoding = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    BatchInput {
        source: batch.envelope.source.as_str(),
        received_at: batch.envelope.received_at,
        batch_id: batch.envelope.batch_id.as_deref(),
        content_encoding: encoding.map(|(_, value)| value.as_str()),
        body: &batch.body,
        stream,
        segment: number_of(key),
        batch_index: i64::try_from(index).unwrap_or(i64::MAX),
    }
}
