//! One power cut: when, and what of that which was not synced has reached the disk.

use std::collections::HashSet;

use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::disk::{Disk, NodeId};
use super::recording::{Acked, Recording, Step};
use crate::seed::dice;

const SECTOR_BYTES: u64 = 512;

/// How probable it is that something unsynced is there, by mood of the disk.
const MOODS: &[f64] = &[0.0, 0.05, 0.5, 0.95, 1.0];

/// What is left after a power cut.
#[derive(Debug)]
pub struct Cut {
    /// Every file by its path below home.
    pub tree: Vec<(String, Bytes)>,
    /// What had been answered 200.
    pub acked: Vec<Acked>,
    /// After how many steps the power went.
    pub at: usize,
}

/// The choices of one cut.
struct Chance {
    dice: StdRng,
    /// Everything before this step has been written back by itself.
    written_back: usize,
    /// Probability that an unsynced change of a name, and of bytes, is there.
    names: f64,
    bytes: f64,
    /// What stands where bytes are missing.
    filler: u8,
}

impl Recording {
    /// The disk that the power cut of this seed leaves. The same seed, the same disk.
    pub fn cut(&self, seed: u64) -> Cut {
        let mut dice = dice(seed, 0);
        let at = dice.random_range(0..=self.steps.len());
        let written_back = match dice.random_range(0..3) {
            0 => dice.random_range(0..=at),
            _ => 0,
        };
        let mut mood = || MOODS[dice.random_range(0..MOODS.len())];
        let (names, bytes) = (mood(), mood());
        let filler = if dice.random() { 0 } else { 0xa5 };
        let mut chance = Chance {
            dice,
            written_back,
            names,
            bytes,
            filler,
        };
        let steps = &self.steps[..at];
        let acked = steps.iter().filter_map(|step| match step {
            Step::Acked(acked) => Some(acked.clone()),
            _ => None,
        });
        Cut {
            acked: acked.collect(),
            tree: self.survivors(steps, &mut chance).tree(&self.nodes),
            at,
        }
    }

    fn survivors(&self, steps: &[Step], chance: &mut Chance) -> Disk {
        // For each node, everything before its last sync is there.
        let mut synced = vec![0; self.nodes.len()];
        for (index, step) in steps.iter().enumerate() {
            if let Step::Sync(node) = step {
                synced[*node] = index;
            }
        }
        let mut disk = Disk::default();
        // A change of a name that is not there keeps the later ones of that name away.
        let mut stale: HashSet<(NodeId, &str)> = HashSet::new();
        for (index, step) in steps.iter().enumerate() {
            let safe = |node: NodeId| index < synced[node].max(chance.written_back);
            match step {
                Step::Entry { folder, name, node } => {
                    if safe(*folder) || !stale.contains(&(*folder, name.as_str())) && chance.name()
                    {
                        disk.enter(*folder, name, *node);
                    } else {
                        stale.insert((*folder, name));
                    }
                }
                Step::Move {
                    folder,
                    from,
                    to,
                    node,
                } => {
                    let (from, to) = (from.as_str(), to.as_str());
                    let free = !stale.contains(&(*folder, from)) && !stale.contains(&(*folder, to));
                    if safe(*folder) || free && chance.name() {
                        disk.enter(*folder, from, None);
                        disk.enter(*folder, to, Some(*node));
                    } else {
                        stale.extend([(*folder, from), (*folder, to)]);
                    }
                }
                Step::Write {
                    file,
                    offset,
                    bytes,
                } => {
                    if safe(*file) {
                        disk.write(*file, *offset, bytes);
                    } else {
                        chance.write(&mut disk, *file, *offset, bytes);
                    }
                }
                Step::Resize { file, length } => {
                    if safe(*file) || chance.name() {
                        disk.resize(*file, *length);
                    }
                }
                Step::Sync(_) | Step::Acked(_) => {}
            }
        }
        disk
    }
}

impl Chance {
    fn name(&mut self) -> bool {
        self.dice.random_bool(self.names)
    }

    /// Writes the sectors that have reached the disk; the length may have reached it by itself.
    fn write(&mut self, disk: &mut Disk, file: NodeId, offset: u64, bytes: &Bytes) {
        let end = offset + bytes.len() as u64;
        if self.dice.random() {
            disk.stretch(file, end, self.filler);
        }
        let mut start = offset;
        while start < end {
            let next = end.min((start / SECTOR_BYTES + 1) * SECTOR_BYTES);
            if self.dice.random_bool(self.bytes) {
                disk.stretch(file, start, self.filler);
                let from = usize::try_from(start - offset).unwrap();
                let to = usize::try_from(next - offset).unwrap();
                disk.write(file, start, &bytes.slice(from..to));
            }
            start = next;
        }
    }
}
