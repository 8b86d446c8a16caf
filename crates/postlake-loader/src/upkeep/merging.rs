//! Small raw segments of past days into large objects, stream by stream.

use chrono::{DateTime, Days, Utc};
use postlake_event::schema::Table;
use postlake_lake::Lake;
use postlake_raw::{MergeError, Mergeable, MergedKey, RawStore, ReadError, StreamName};

use super::{Bounds, open};
use crate::error::LoadError;
use crate::ledger::chain;
use crate::positions::Tables;

/// Streams of so many days, today among them, are left alone: they may still be written.
const OPEN_DAYS: u64 = 2;

/// Segments that cannot be read before it is said that the store does not answer.
const MOST_UNREADABLE: u64 = 10;

/// What became of raw segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergedRaw {
    /// Streams with segments that were merged, or would be.
    pub streams: u64,
    /// Segments that were merged.
    pub segments: u64,
    /// Objects that hold them now.
    pub objects: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Objects that are left for the next time.
    pub left: u64,
    /// Segments that cannot be read, and stay as they are.
    pub unreadable: u64,
}

/// Merges small segments that are loaded, of past days, within bounds. A dry run only says what would be
/// merged.
///
/// # Errors
/// When a store does not answer or refuses; what was done before stands.
pub async fn merge_raw(
    raw: &RawStore,
    lake: &Lake,
    now: DateTime<Utc>,
    bounds: &Bounds,
    dry_run: bool,
) -> Result<MergedRaw, LoadError> {
    let mut done = MergedRaw::default();
    let mut tables = Tables::new(open(lake, Table::Batches).await?);
    let retired = raw.retired_before().await.map_err(LoadError::List)?;
    let open_since = now.date_naive().checked_sub_days(Days::new(OPEN_DAYS));
    let mut dates = raw.dates().await.map_err(LoadError::List)?;
    dates.retain(|date| open_since.is_some_and(|since| *date < since));
    dates.retain(|date| retired.is_none_or(|before| before <= *date));
    dates.sort_unstable();
    for date in dates {
        for stream in raw.streams(date).await.map_err(LoadError::List)? {
            let position = tables.position(Table::Batches, &stream).await;
            let loaded = u64::try_from(position.map_err(LoadError::Lake)?).unwrap_or(0);
            merge_stream(raw, stream, loaded, bounds, dry_run, &mut done).await?;
        }
    }
    Ok(done)
}

async fn merge_stream(
    raw: &RawStore,
    stream: StreamName,
    loaded: u64,
    bounds: &Bounds,
    dry_run: bool,
    done: &mut MergedRaw,
) -> Result<(), LoadError> {
    let found = raw.mergeable(stream, loaded).await;
    let mut found = found.map_err(LoadError::List)?;
    done.streams += u64::from(!found.is_empty());
    while let Some(mergeable) = found.pop() {
        if bounds.is_over() {
            done.left += found.len() as u64 + 1;
            return Ok(());
        }
        let merged = match dry_run {
            true => Ok(()),
            false => raw.merge(&mergeable).await,
        };
        match merged {
            Ok(()) => {
                done.objects += 1;
                done.segments += mergeable.key.segments();
                done.bytes += mergeable.bytes;
            }
            // What is damaged stays as it is, and the segments on both sides of it are merged.
            Err(MergeError::Read(ReadError::Damaged { key, .. })) => {
                done.unreadable += 1;
                found.extend(beside(&mergeable, key.number().get()));
            }
            Err(error @ MergeError::Differs(_)) => {
                tracing::warn!("{}; the small segments stay", chain(&error));
                done.unreadable += mergeable.key.segments();
            }
            // One that the disk does not give holds up no other; many of them are a store that is away.
            Err(MergeError::Read(ReadError::Unavailable { key, .. }))
                if done.unreadable < MOST_UNREADABLE =>
            {
                done.unreadable += 1;
                found.extend(beside(&mergeable, key.number().get()));
            }
            // Retention, or somebody else who merges, was faster.
            Err(MergeError::Read(ReadError::NotFound { .. })) => {}
            Err(error) => return Err(LoadError::Merge(error)),
        }
    }
    Ok(())
}

/// What is left of a run without one of its numbers.
fn beside(run: &Mergeable, number: u64) -> impl Iterator<Item = Mergeable> + use<> {
    let key = run.key;
    let mut before = None;
    let mut after = None;
    for each in key.keys() {
        let side = match each.number().get() {
            at if at < number => &mut before,
            at if at > number => &mut after,
            _ => continue,
        };
        let (first, _) = side.unwrap_or((each.number(), each.number()));
        *side = Some((first, each.number()));
    }
    let sides = [before, after].into_iter().flatten();
    let sides = sides.filter_map(move |(first, last)| MergedKey::new(key.stream(), first, last));
    // How the bytes lie on both sides is not known; it is for the report alone.
    let bytes = run.bytes / 2;
    sides.map(move |key| Mergeable { key, bytes })
}
