//! Data of a newer release: this one cannot load it, and says so before it starts.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use postlake_lake::{DataUrl, ErrorKind, LakeError};
use postlake_loader::LoadError;
use postlake_raw::segment::SegmentError;
use postlake_raw::{ListError, RawStore, ReadError, SegmentKey, SegmentNumber};
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::wire;

#[cfg(test)]
mod tests;

/// Streams whose format is looked at, the youngest ones that have a segment.
const STREAMS: usize = 8;
/// Names of streams that are gone through for that. On a directory one may be empty.
const NAMES: usize = 4 * STREAMS;

/// A start waits this long for S3, here and where it is asked whether it can be written: a server is
/// ready 2 s after its start. A directory answers at once or lets nothing of the process go on.
const S3_PATIENCE: Duration = Duration::from_millis(1500);

/// What the store says to a start that waits for it, if it says it in time.
pub(crate) async fn in_time<T>(data: &DataUrl, answer: impl Future<Output = T>) -> Option<T> {
    match data.directory() {
        Some(_) => Some(answer.await),
        None => timeout(S3_PATIENCE, answer).await.ok(),
    }
}

/// Refuses to load from a store into which a newer release has written, and into a lake that it has given
/// columns. Looks at the header of the first segment of the youngest streams: a stream is one process, so
/// all of it is one format. A store that does not answer in time is no reason: the first pass will find
/// out.
///
/// # Errors
/// When one of them is of a format that this release does not know.
pub(crate) async fn refuse_newer(data: &DataUrl) -> Result<(), Failure> {
    let raw = wire::raw_store(data)?;
    let lake = wire::lake(data)?;
    let looked = async { tokio::join!(find_newer(&raw), lake.refuse_newer()) };
    let Some((found, lake)) = in_time(data, looked).await else {
        tracing::warn!(
            "the store at {data} does not answer: whether a newer release has written to it is seen when it is loaded"
        );
        return Ok(());
    };
    match (found, lake) {
        (Ok(Some((key, source))), _) => Err(newer(&key, source)),
        (_, Err(error)) if error.kind() == ErrorKind::Newer => Err(newer_lake(error)),
        (Err(error), _) => not_looked_at(&error),
        (_, Err(error)) => not_looked_at(&error),
        (Ok(None), Ok(())) => Ok(()),
    }
}

fn not_looked_at(error: &(dyn std::error::Error + 'static)) -> Result<(), Failure> {
    tracing::debug!(error, "the formats were not looked at");
    Ok(())
}

/// The failure of what loads or corrects the lake: of a newer release, or whatever else it is.
pub(crate) fn load_failure(doing: impl Into<String>, error: LoadError) -> Failure {
    match error {
        LoadError::Newer { key, source } => newer(&key, source),
        LoadError::Lake(source) if source.kind() == ErrorKind::Newer => newer_lake(source),
        error if error.is_conflict() => {
            let doing = format!("{}; others commit all the time, try again", doing.into());
            Failure::caused(Exit::TryAgain, doing, error)
        }
        error => Failure::caused(Exit::Unavailable, doing, error),
    }
}

fn newer_lake(source: LakeError) -> Failure {
    let doing =
        "the lake was changed by a newer release than this one: start that release, or a later one";
    Failure::caused(Exit::Config, doing, source)
}

fn newer(key: &SegmentKey, source: SegmentError) -> Failure {
    let doing = format!(
        "the data was written by a newer release than this one: start that release, or a later one; {key}"
    );
    Failure::caused(Exit::Config, doing, source)
}

async fn find_newer(raw: &RawStore) -> Result<Option<(SegmentKey, SegmentError)>, ListError> {
    let is_there = |header: &Result<_, _>| !matches!(header, Err(ReadError::NotFound { .. }));
    let mut looked = stream::iter(youngest(raw).await?)
        .map(|key| async move { raw.read_header(&key).await })
        .buffered(STREAMS)
        .filter(|header| std::future::ready(is_there(header)))
        .take(STREAMS);
    while let Some(header) = looked.next().await {
        // Whatever else is wrong is the loader's to tell.
        if let Err(ReadError::Damaged {
            key,
            source: source @ SegmentError::UnknownFormat { .. },
        }) = header
        {
            return Ok(Some((key, source)));
        }
    }
    Ok(None)
}

/// Names of the first segments of the youngest streams.
async fn youngest(raw: &RawStore) -> Result<Vec<SegmentKey>, ListError> {
    let mut keys = Vec::new();
    for date in raw.dates().await?.into_iter().rev() {
        let streams = raw.streams(date).await?.into_iter().rev();
        keys.extend(streams.map(|stream| SegmentKey::new(stream, SegmentNumber::FIRST)));
        if keys.len() >= NAMES {
            break;
        }
    }
    keys.truncate(NAMES);
    Ok(keys)
}
