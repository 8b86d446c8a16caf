//! Keys beyond those in memory: sorted runs in files that have no name.
//!
//! A run holds 16 bytes for each key, sorted by shelf and key. In memory it costs a filter, which turns
//! away nearly all keys that are not in it, and a fence for each block of 4 KiB, which says where a key
//! would stand: one read settles it. The files lie beside the lake or in the folder for temporary
//! things and are gone with the process, whatever ends it. Nothing is ever recovered from them: they
//! are made again from the lake.
//!
//! Runs of like size are merged, so that there are few of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use postlake_event::key::Key;

use super::Shelf;
use super::filter::Filter;
use super::seeded::KeySet;

/// What a key takes on the disk.
pub(super) const KEY_BYTES: u64 = 16;
/// Keys between two fences.
const BLOCK_KEYS: u64 = 256;
/// Bytes that are read or written at a time when runs are made.
const BUFFER_BYTES: usize = 64 << 10;
/// Bits of a filter for each key, if there is memory for them.
const FILTER_BITS: u64 = 12;
/// With fewer bits a filter is not worth its memory.
const MIN_FILTER_BITS: u64 = 4;
/// So many runs of like size become one.
const FAN_IN: usize = 4;
/// Runs are of like size if the larger is at most so many times the smaller.
const LIKE: u64 = 4;

/// All runs of an index.
#[derive(Debug)]
pub(super) struct Runs {
    folder: PathBuf,
    /// Memory for filters.
    memory_bytes: u64,
    runs: Vec<Run>,
}

/// One file.
#[derive(Debug)]
struct Run {
    file: File,
    keys: u64,
    shelves: BTreeMap<Shelf, Extent>,
    filter: Option<Filter>,
}

/// Where the keys of a shelf stand in a run.
#[derive(Debug)]
struct Extent {
    start: u64,
    keys: u64,
    /// The first key of each block.
    fences: Vec<Key>,
}

impl Runs {
    pub(super) fn new(folder: &Path, memory_bytes: u64) -> Runs {
        Runs {
            folder: folder.to_owned(),
            memory_bytes,
            runs: Vec::new(),
        }
    }

    pub(super) fn contains(&self, shelf: Shelf, key: Key) -> io::Result<bool> {
        for run in &self.runs {
            if run.contains(shelf, key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds a run of the keys of some shelves; they need no order. Merges runs when there are many.
    pub(super) fn add(&mut self, shelves: Vec<(Shelf, KeySet)>) -> io::Result<()> {
        let mut shelves: Vec<_> = shelves
            .into_iter()
            .map(|(shelf, keys)| {
                let mut keys: Vec<Key> = keys.into_iter().collect();
                keys.sort_unstable();
                (shelf, keys)
            })
            .collect();
        shelves.sort_unstable_by_key(|(shelf, _)| *shelf);
        let keys = shelves.iter().map(|(_, keys)| keys.len() as u64).sum();
        let mut writer = Writer::new(&self.folder, keys, self.filter_bits(keys))?;
        for (shelf, keys) in &shelves {
            for key in keys {
                writer.push(*shelf, *key)?;
            }
        }
        self.runs.push(writer.finish()?);
        self.tidy()
    }

    /// Forgets shelves. Their room on the disk is given back when most of a run is forgotten.
    pub(super) fn forget(&mut self, shelves: &[Shelf]) -> io::Result<()> {
        for run in &mut self.runs {
            run.shelves.retain(|shelf, _| !shelves.contains(shelf));
        }
        self.runs.retain(|run| run.live() > 0);
        while let Some(at) = self.runs.iter().position(|run| run.live() * 2 < run.keys) {
            let run = self.runs.swap_remove(at);
            self.merge(vec![run])?;
        }
        Ok(())
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.keys * KEY_BYTES).sum()
    }

    pub(super) fn keys_of(&self, shelf: Shelf) -> u64 {
        let extents = self.runs.iter().filter_map(|run| run.shelves.get(&shelf));
        extents.map(|extent| extent.keys).sum()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.runs.len()
    }

    fn tidy(&mut self) -> io::Result<()> {
        while let Some(size) = self.crowded() {
            let like = |run: &Run| run.keys / LIKE <= size;
            let (small, large) = self.runs.drain(..).partition(like);
            self.runs = large;
            self.merge(small)?;
        }
        Ok(())
    }

    /// The size up to which runs are to be merged, if there are too many of like size.
    fn crowded(&self) -> Option<u64> {
        let mut sizes: Vec<u64> = self.runs.iter().map(|run| run.keys).collect();
        sizes.sort_unstable();
        let crowd = sizes.windows(FAN_IN).find(|crowd| {
            let ends = crowd.first().zip(crowd.last());
            ends.is_some_and(|(least, most)| most / LIKE <= *least)
        });
        crowd?.first().copied()
    }

    /// What is forgotten is left out.
    fn merge(&mut self, runs: Vec<Run>) -> io::Result<()> {
        let keys = runs.iter().map(Run::live).sum();
        let bits = self.filter_bits(keys);
        let shelves: HashSet<Shelf> = runs
            .iter()
            .flat_map(|run| run.shelves.keys())
            .copied()
            .collect();
        let mut shelves: Vec<_> = shelves.into_iter().collect();
        shelves.sort_unstable();
        let mut writer = Writer::new(&self.folder, keys, bits)?;
        for shelf in shelves {
            let parts: Vec<_> = runs.iter().filter_map(|run| run.reader(shelf)).collect();
            merge_into(&mut writer, shelf, parts)?;
        }
        self.runs.push(writer.finish()?);
        Ok(())
    }

    /// Bits for each of `keys` new keys within the memory that the other filters leave.
    fn filter_bits(&self, keys: u64) -> u64 {
        let filters = self.runs.iter().filter_map(|run| run.filter.as_ref());
        let taken: usize = filters.map(Filter::bytes).sum();
        let left = self.memory_bytes.saturating_sub(taken as u64);
        (left * 8 / keys.max(1)).min(FILTER_BITS)
    }
}

impl Run {
    fn live(&self) -> u64 {
        self.shelves.values().map(|extent| extent.keys).sum()
    }

    fn contains(&self, shelf: Shelf, key: Key) -> io::Result<bool> {
        let Some(extent) = self.shelves.get(&shelf) else {
            return Ok(false);
        };
        if self
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.may_contain(key))
        {
            return Ok(false);
        }
        // The block whose first key is the last one that is not above ours.
        let block = extent.fences.partition_point(|fence| *fence <= key) as u64;
        let Some(block) = block.checked_sub(1) else {
            return Ok(false);
        };
        let first = block * BLOCK_KEYS;
        let keys = BLOCK_KEYS.min(extent.keys - first);
        let mut buffer = [0; (BLOCK_KEYS * KEY_BYTES) as usize];
        let Some(buffer) = buffer.get_mut(..(keys * KEY_BYTES) as usize) else {
            return Ok(false);
        };
        self.file
            .read_exact_at(buffer, (extent.start + first) * KEY_BYTES)?;
        let (found, _) = buffer.as_chunks::<{ KEY_BYTES as usize }>();
        let wanted = key.0.to_be_bytes();
        Ok(found.binary_search(&wanted).is_ok())
    }

    fn reader(&self, shelf: Shelf) -> Option<Reader<'_>> {
        let extent = self.shelves.get(&shelf)?;
        Some(Reader {
            file: &self.file,
            next: extent.start,
            end: extent.start + extent.keys,
            buffer: Vec::new(),
            taken: 0,
        })
    }
}

/// Reads the keys of an extent in their order.
struct Reader<'a> {
    file: &'a File,
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    taken: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> io::Result<Option<Key>> {
        if self.taken == self.buffer.len() {
            let keys = (self.end - self.next).min(BUFFER_BYTES as u64 / KEY_BYTES);
            self.buffer.resize((keys * KEY_BYTES) as usize, 0);
            self.file
                .read_exact_at(&mut self.buffer, self.next * KEY_BYTES)?;
            self.next += keys;
            self.taken = 0;
        }
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let Some(bytes) = rest.first_chunk::<{ KEY_BYTES as usize }>() else {
            return Ok(None);
        };
        self.taken += bytes.len();
        Ok(Some(Key(u128::from_be_bytes(*bytes))))
    }
}

/// Equal keys become one.
fn merge_into(writer: &mut Writer, shelf: Shelf, mut parts: Vec<Reader<'_>>) -> io::Result<()> {
    let mut heads = BinaryHeap::with_capacity(parts.len());
    for (place, part) in parts.iter_mut().enumerate() {
        heads.extend(part.next()?.map(|key| Reverse((key, place))));
    }
    let mut last = None;
    while let Some(Reverse((key, place))) = heads.pop() {
        if last != Some(key) {
            writer.push(shelf, key)?;
            last = Some(key);
        }
        if let Some(part) = parts.get_mut(place) {
            heads.extend(part.next()?.map(|key| Reverse((key, place))));
        }
    }
    Ok(())
}

/// Writes a run, in order.
struct Writer {
    run: Run,
    buffer: Vec<u8>,
}

impl Writer {
    fn new(folder: &Path, keys: u64, filter_bits: u64) -> io::Result<Writer> {
        Ok(Writer {
            run: Run {
                file: tempfile::tempfile_in(folder)?,
                keys: 0,
                shelves: BTreeMap::new(),
                filter: (filter_bits >= MIN_FILTER_BITS).then(|| Filter::new(keys, filter_bits)),
            },
            buffer: Vec::with_capacity(BUFFER_BYTES),
        })
    }

    fn push(&mut self, shelf: Shelf, key: Key) -> io::Result<()> {
        let start = self.run.keys;
        let extent = self.run.shelves.entry(shelf).or_insert_with(|| Extent {
            start,
            keys: 0,
            fences: Vec::new(),
        });
        if extent.keys.is_multiple_of(BLOCK_KEYS) {
            extent.fences.push(key);
        }
        extent.keys += 1;
        self.run.keys += 1;
        if let Some(filter) = &mut self.run.filter {
            filter.insert(key);
        }
        self.buffer.extend_from_slice(&key.0.to_be_bytes());
        if self.buffer.len() >= BUFFER_BYTES {
            self.run.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Run> {
        self.run.file.write_all(&self.buffer)?;
        Ok(self.run)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn key(number: u32) -> Key {
        Key::of_hash(&number.to_string())
    }

    fn set(numbers: impl IntoIterator<Item = u32>) -> KeySet {
        numbers.into_iter().map(key).collect()
    }

    #[test]
    fn a_key_is_found_in_its_shelf_alone_and_runs_stay_few() {
        let folder = TempDir::new().unwrap();
        let mut runs = Runs::new(folder.path(), 1 << 20);
        for part in 0..20 {
            let numbers = part * 1000..(part + 1) * 1000;
            let undated = part * 1000..part * 1000 + 1;
            let shelves = vec![
                (Shelf::Undated, set(undated)),
                (Shelf::Day(3), set(numbers)),
            ];
            runs.add(shelves).unwrap();
        }
        assert!(runs.count() <= 2 * FAN_IN, "{} runs", runs.count());
        assert_eq!(runs.keys_of(Shelf::Day(3)), 20_000);
        for number in 0..20_000 {
            assert!(runs.contains(Shelf::Day(3), key(number)).unwrap());
            let undated = runs.contains(Shelf::Undated, key(number)).unwrap();
            assert_eq!(undated, number % 1000 == 0);
            assert!(!runs.contains(Shelf::Day(3), key(20_000 + number)).unwrap());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_memory_for_filters_every_answer_is_read() {
        let folder = TempDir::new().unwrap();
        let mut runs = Runs::new(folder.path(), 0);
        runs.add(vec![(Shelf::Day(1), set(0..5000))]).unwrap();
        assert!(runs.runs[0].filter.is_none());
        assert!((0..5000).all(|number| runs.contains(Shelf::Day(1), key(number)).unwrap()));
        assert!((5000..9000).all(|number| !runs.contains(Shelf::Day(1), key(number)).unwrap()));
    }

    #[test]
    fn what_is_forgotten_gives_its_room_back() {
        let folder = TempDir::new().unwrap();
        let mut runs = Runs::new(folder.path(), 1 << 20);
        let shelves = (0..4).map(|day| {
            (
                Shelf::Day(day),
                set(day as u32 * 1000..(day as u32 + 1) * 1000),
            )
        });
        runs.add(shelves.collect()).unwrap();
        assert_eq!(runs.disk_bytes(), 4000 * KEY_BYTES);
        runs.forget(&[Shelf::Day(0), Shelf::Day(1), Shelf::Day(2)])
            .unwrap();
        assert_eq!(runs.disk_bytes(), 1000 * KEY_BYTES);
        assert!(runs.contains(Shelf::Day(3), key(3500)).unwrap());
        assert!(!runs.contains(Shelf::Day(0), key(500)).unwrap());
        runs.forget(&[Shelf::Day(3)]).unwrap();
        assert_eq!((runs.disk_bytes(), runs.count()), (0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn runs_hold_what_a_set_holds(
            parts in prop::collection::vec((0..4_i32, prop::collection::vec(0..2000_u32, 0..700), any::<bool>()), 1..14),
            memory in prop::sample::select(vec![0, 300, 1 << 20]),
        ) {
            let folder = TempDir::new().unwrap();
            let mut runs = Runs::new(folder.path(), memory);
            let mut model: HashSet<(i32, u32)> = HashSet::new();
            for (day, numbers, forget) in parts {
                if forget {
                    runs.forget(&[Shelf::Day(day)]).unwrap();
                    model.retain(|(held, _)| *held != day);
                }
                runs.add(vec![(Shelf::Day(day), set(numbers.iter().copied()))]).unwrap();
                model.extend(numbers.iter().map(|number| (day, *number)));
            }
            for day in 0..4 {
                for number in 0..2000 {
                    let held = runs.contains(Shelf::Day(day), key(number)).unwrap();
                    prop_assert_eq!(held, model.contains(&(day, number)));
                }
            }
        }
    }
}
