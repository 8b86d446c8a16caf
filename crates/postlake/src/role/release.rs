//! Data of a newer release: this one cannot load it, and says so before it starts.

use postlake_raw::segment::SegmentError;
use postlake_raw::{ListError, RawStore, ReadError, SegmentKey};

use crate::exit::{Exit, Failure};

/// Streams whose last segment is looked at, the youngest ones.
const STREAMS: usize = 8;

/// Refuses to load from a store into which a newer release has written. Looks at the last segment of
/// the youngest streams. A store that does not answer is no reason: a pass will find out.
///
/// # Errors
/// When one of them is of a format that this release does not know.
pub(crate) async fn refuse_newer(raw: &RawStore) -> Result<(), Failure> {
    let Ok(keys) = youngest(raw).await else {
        return Ok(());
    };
    for key in keys {
        if let Err(ReadError::Damaged {
            source: source @ SegmentError::UnknownFormat { .. },
            ..
        }) = raw.read(&key).await
        {
            return Err(newer(&key, source));
        }
    }
    Ok(())
}

/// The failure that says so.
pub(crate) fn newer(key: &SegmentKey, source: SegmentError) -> Failure {
    let doing = format!(
        "the data was written by a newer release than this one: start that release, or a later one; {key}"
    );
    Failure::caused(Exit::Config, doing, source)
}

async fn youngest(raw: &RawStore) -> Result<Vec<SegmentKey>, ListError> {
    let mut keys = Vec::new();
    for date in raw.dates().await?.into_iter().rev() {
        for stream in raw.streams(date).await?.into_iter().rev() {
            let segments = raw.segments_after(date, stream, 0).await?;
            keys.extend(segments.last());
            if keys.len() == STREAMS {
                return Ok(keys);
            }
        }
    }
    Ok(keys)
}
