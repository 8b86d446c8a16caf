//! The name of an object that holds several segments of a stream.

use std::fmt;

use chrono::NaiveDate;
use object_store::path::Path;

use super::{
    KeyError, ROOT, SUFFIX, SegmentKey, SegmentNumber, StreamName, date_folder, parse_file,
    parse_number,
};

/// Where segments of a stream stand that were merged into one object: all from the first number to the
/// last. Displays as the object name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MergedKey {
    stream: StreamName,
    first: SegmentNumber,
    last: SegmentNumber,
}

impl MergedKey {
    /// The key of these segments; none for less than two.
    pub fn new(stream: StreamName, first: SegmentNumber, last: SegmentNumber) -> Option<Self> {
        (first < last).then_some(Self {
            stream,
            first,
            last,
        })
    }

    /// Reads an object name. `Ok` exactly for names that [`MergedKey`] displays.
    pub fn parse(name: &str) -> Result<Self, KeyError> {
        Self::parse_exact(name).ok_or_else(|| KeyError::Object(name.to_owned()))
    }

    /// The UTC day of the stream.
    pub fn date(&self) -> NaiveDate {
        self.stream.date()
    }

    /// The stream the segments belong to.
    pub fn stream(&self) -> StreamName {
        self.stream
    }

    /// The number of the first segment.
    pub fn first(&self) -> SegmentNumber {
        self.first
    }

    /// The number of the last segment.
    pub fn last(&self) -> SegmentNumber {
        self.last
    }

    /// True if the segment is one of them.
    pub fn holds(&self, key: &SegmentKey) -> bool {
        key.stream() == self.stream && (self.first..=self.last).contains(&key.number())
    }

    /// How many segments they are.
    pub fn segments(&self) -> u64 {
        self.last.get() - self.first.get() + 1
    }

    /// Their keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = SegmentKey> + use<> {
        let stream = self.stream;
        let numbers = (self.first.get()..=self.last.get()).map(SegmentNumber::new);
        numbers.flat_map(move |number| number.map(|number| SegmentKey::new(stream, number)))
    }

    /// The object name in the store.
    pub fn path(&self) -> Path {
        Path::from(self.to_string())
    }

    fn parse_exact(name: &str) -> Option<Self> {
        let (stream, file) = parse_file(name)?;
        let (first, last) = file.split_once('-')?;
        Self::new(stream, parse_number(first)?, parse_number(last)?)
    }
}

impl fmt::Display for MergedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, stream) = (date_folder(self.date()), self.stream);
        let (first, last) = (self.first.get(), self.last.get());
        write!(f, "{ROOT}/{date}/{stream}/{first:010}-{last:010}{SUFFIX}")
    }
}

/// The segments that an object in the folder of a stream holds: one, or several that were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentNumbers {
    /// A segment as it was landed.
    One(SegmentKey),
    /// Several.
    Merged(MergedKey),
}

impl SegmentNumbers {
    /// What an object of this name holds; none if it is no segment of ours.
    pub(crate) fn of(name: &str) -> Option<SegmentNumbers> {
        match SegmentKey::parse(name) {
            Ok(key) => Some(SegmentNumbers::One(key)),
            Err(_) => MergedKey::parse(name).ok().map(SegmentNumbers::Merged),
        }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> StreamName {
        match self {
            SegmentNumbers::One(key) => key.stream(),
            SegmentNumbers::Merged(key) => key.stream(),
        }
    }

    /// The first number.
    pub(crate) fn first(&self) -> SegmentNumber {
        match self {
            SegmentNumbers::One(key) => key.number(),
            SegmentNumbers::Merged(key) => key.first(),
        }
    }

    /// The last number.
    pub(crate) fn last(&self) -> SegmentNumber {
        match self {
            SegmentNumbers::One(key) => key.number(),
            SegmentNumbers::Merged(key) => key.last(),
        }
    }

    /// How many segments.
    pub(crate) fn segments(&self) -> u64 {
        self.last().get() - self.first().get() + 1
    }
}
