//! Names in the raw store, built and parsed here and nowhere else.
//!
//! ```text
//! raw/<YYYY-MM-DD>/<stream>/<number, 10 digits>.seg.zst
//! raw/<YYYY-MM-DD>/<stream>/<first number>-<last number>.seg.zst
//! maintenance/audit/<time>-<16 hex digits>.json
//! maintenance/raw-retired/<YYYY-MM-DD>.json
//! ```
//!
//! Nothing a sender says is ever part of a name: a stream is a time and a random number of ours.

mod merged;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;

pub use merged::MergedKey;
pub(crate) use merged::SegmentNumbers;

const ROOT: &str = "raw";
const AUDIT: &str = "maintenance/audit";
const RETIRED: &str = "maintenance/raw-retired";
const RETIRED_SUFFIX: &str = ".json";
const AUDIT_FORMAT: &str = "%Y%m%dT%H%M%S%.6fZ";
const SUFFIX: &str = ".seg.zst";
const PROBE_PREFIX: &str = "create-only-probe-";
const DATE_FORMAT: &str = "%Y-%m-%d";
const STARTED_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const STARTED_BYTES: usize = 16;
const RANDOM_DIGITS: usize = 16;
const NUMBER_DIGITS: usize = 10;
/// Unix seconds of 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z: a year has four digits in a name.
const STARTED_SECS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// A name that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not `<YYYYMMDDTHHMMSSZ>-<16 hex digits>`.
    #[error("not a stream name: {0:?}")]
    Stream(String),
    /// The number is 0 or has more than ten digits.
    #[error("not a segment number: {0}")]
    Number(u64),
    /// The object name is not the one of a segment, or its date is not its stream's.
    #[error("not the name of a raw segment: {0:?}")]
    Object(String),
}

/// Name of what one receiver process writes on one UTC day: `<YYYYMMDDTHHMMSSZ>-<16 hex digits>`,
/// the time it was started and a random number. Sorts by time, as text and as value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName {
    started_secs: i64,
    random: u64,
}

impl StreamName {
    /// A name that no other stream has (64 random bits), started now. A clock outside the years
    /// 0 to 9999 counts as the nearest second inside.
    pub fn new(clock: &dyn Clock) -> Self {
        Self::from_parts(clock.now(), rand::random())
    }

    /// The name with this start (cut to whole seconds) and this random part.
    pub fn from_parts(started_at: DateTime<Utc>, random: u64) -> Self {
        let started_secs = started_at
            .timestamp()
            .clamp(*STARTED_SECS.start(), *STARTED_SECS.end());
        Self {
            started_secs,
            random,
        }
    }

    /// The random part. That of an import's streams is made of what it imports.
    pub(crate) fn mark(&self) -> u64 {
        self.random
    }

    /// Reads a name. `Ok` exactly for texts that [`StreamName`] displays.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Self::parse_exact(text).ok_or_else(|| KeyError::Stream(text.to_owned()))
    }

    /// When the stream was started, in whole seconds.
    pub fn started_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.started_secs, 0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The UTC day the stream belongs to, and the folder it stands in.
    pub fn date(&self) -> NaiveDate {
        self.started_at().date_naive()
    }

    fn parse_exact(text: &str) -> Option<Self> {
        let (started, random) = text.split_once('-')?;
        if started.len() != STARTED_BYTES || random.len() != RANDOM_DIGITS {
            return None;
        }
        let started = NaiveDateTime::parse_from_str(started, STARTED_FORMAT)
            .ok()?
            .and_utc();
        let name = Self::from_parts(started, u64::from_str_radix(random, 16).ok()?);
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{:016x}",
            self.started_at().format(STARTED_FORMAT),
            self.random
        )
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamName({self})")
    }
}

impl FromStr for StreamName {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl Serialize for StreamName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Place of a segment in its stream: 1, 2, 3 and so on, up to ten digits, without holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct SegmentNumber(u64);

impl SegmentNumber {
    /// The number of a stream's first segment.
    pub const FIRST: Self = Self(1);
    /// The largest number that ten digits can say.
    pub const LAST: Self = Self(9_999_999_999);

    /// The number `value`; an error for 0 and for more than ten digits.
    pub fn new(value: u64) -> Result<Self, KeyError> {
        if (Self::FIRST.0..=Self::LAST.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(KeyError::Number(value))
        }
    }

    /// The number as an integer.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number that follows, none after [`SegmentNumber::LAST`].
    pub fn next(self) -> Option<Self> {
        Self::new(self.0.saturating_add(1)).ok()
    }
}

impl TryFrom<u64> for SegmentNumber {
    type Error = KeyError;

    fn try_from(value: u64) -> Result<Self, KeyError> {
        Self::new(value)
    }
}

impl From<SegmentNumber> for u64 {
    fn from(number: SegmentNumber) -> Self {
        number.0
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where one segment stands: a stream and a number. The day is the stream's. Sorts by stream
/// (so by time), then by number; displays as the object name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey {
    stream: StreamName,
    number: SegmentNumber,
}

impl SegmentKey {
    /// The key of segment `number` of `stream`.
    pub fn new(stream: StreamName, number: SegmentNumber) -> Self {
        Self { stream, number }
    }

    /// Reads an object name. `Ok` exactly for names that [`SegmentKey`] displays.
    pub fn parse(name: &str) -> Result<Self, KeyError> {
        Self::parse_exact(name).ok_or_else(|| KeyError::Object(name.to_owned()))
    }

    /// The UTC day of the stream.
    pub fn date(&self) -> NaiveDate {
        self.stream.date()
    }

    /// The stream the segment belongs to.
    pub fn stream(&self) -> StreamName {
        self.stream
    }

    /// The segment's place in its stream.
    pub fn number(&self) -> SegmentNumber {
        self.number
    }

    /// Where what was saved of this segment, if it is damaged, is copied to: a stream of its own on the
    /// same day, always the same one.
    pub fn salvaged(&self) -> Self {
        let digest = crate::batch::digest(format!("saved of {self}").as_bytes());
        let random = digest
            .iter()
            .take(8)
            .fold(0, |random, byte| random << 8 | u64::from(*byte));
        let stream = StreamName::from_parts(self.stream.started_at(), random);
        Self::new(stream, SegmentNumber::FIRST)
    }

    /// The object name in the store.
    pub fn path(&self) -> Path {
        Path::from(self.to_string())
    }

    fn parse_exact(name: &str) -> Option<Self> {
        let (stream, file) = parse_file(name)?;
        Some(Self::new(stream, parse_number(file)?))
    }
}

/// The stream and the numbers of a name in the folder of a stream.
fn parse_file(name: &str) -> Option<(StreamName, &str)> {
    let mut parts = name.split('/');
    let (root, date, stream, file) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if root != ROOT || parts.next().is_some() {
        return None;
    }
    let stream = StreamName::parse(stream).ok()?;
    let file = file.strip_suffix(SUFFIX)?;
    (date_folder(stream.date()) == date).then_some((stream, file))
}

fn parse_number(text: &str) -> Option<SegmentNumber> {
    if text.len() != NUMBER_DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    SegmentNumber::new(text.parse().ok()?).ok()
}

impl fmt::Display for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = date_folder(self.date());
        write!(
            f,
            "{ROOT}/{date}/{}/{:010}{SUFFIX}",
            self.stream,
            self.number.get()
        )
    }
}

/// Prefix of everything in the raw store.
pub(crate) fn root_prefix() -> Path {
    Path::from(ROOT)
}

/// Prefix of all streams of a day.
pub(crate) fn date_prefix(date: NaiveDate) -> Path {
    Path::from(format!("{ROOT}/{}", date_folder(date)))
}

/// Prefix of all segments of a stream.
pub(crate) fn stream_prefix(stream: StreamName) -> Path {
    Path::from(format!("{ROOT}/{}/{stream}", date_folder(stream.date())))
}

/// Most segments that one object holds.
pub(crate) const MOST_SEGMENTS: u64 = 1_000;

/// A name for a listing that starts there: it sorts before all objects that hold a segment of the stream with a
/// number above `after`, also those that begin further down, and behind as many others as can be told.
pub(crate) fn listing_offset(stream: StreamName, after: u64) -> Path {
    let after = after.min(SegmentNumber::LAST.get());
    let after = after.saturating_sub(MOST_SEGMENTS - 1);
    Path::from(format!("{}/{after:010}{SUFFIX}", stream_prefix(stream)))
}

/// The day of a prefix that [`date_prefix`] makes.
pub(crate) fn parse_date_prefix(prefix: &Path) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(prefix.filename()?, DATE_FORMAT).ok()?;
    (date_prefix(date) == *prefix).then_some(date)
}

/// The stream of a prefix that [`stream_prefix`] makes.
pub(crate) fn parse_stream_prefix(prefix: &Path) -> Option<StreamName> {
    let stream = StreamName::parse(prefix.filename()?).ok()?;
    (stream_prefix(stream) == *prefix).then_some(stream)
}

/// A fresh name for the create-only probe; no listing of days, streams or segments returns it.
pub(crate) fn probe_path() -> Path {
    Path::from(format!(
        "{ROOT}/{PROBE_PREFIX}{:016x}",
        rand::random::<u64>()
    ))
}

/// Prefix of the audit log.
pub(crate) fn audit_prefix() -> Path {
    Path::from(AUDIT)
}

/// A name for an entry of the audit log that no other entry has; names sort by time.
pub(crate) fn audit_path(at: DateTime<Utc>) -> Path {
    let at = at.format(AUDIT_FORMAT);
    Path::from(format!("{AUDIT}/{at}-{:016x}.json", rand::random::<u64>()))
}

/// Prefix of the marks of retired days.
pub(crate) fn retired_prefix() -> Path {
    Path::from(RETIRED)
}

/// The mark that days before this one went.
pub(crate) fn retired_path(before: NaiveDate) -> Path {
    let before = date_folder(before);
    Path::from(format!("{RETIRED}/{before}{RETIRED_SUFFIX}"))
}

/// The day of a name that [`retired_path`] makes.
pub(crate) fn parse_retired(path: &Path) -> Option<NaiveDate> {
    let date = path.filename()?.strip_suffix(RETIRED_SUFFIX)?;
    let date = NaiveDate::parse_from_str(date, DATE_FORMAT).ok()?;
    (retired_path(date) == *path).then_some(date)
}

fn date_folder(date: NaiveDate) -> String {
    date.format(DATE_FORMAT).to_string()
}
