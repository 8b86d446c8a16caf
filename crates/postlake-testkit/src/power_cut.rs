//! A simulated disk that loses power, under the real code.
//!
//! The real program runs under `strace`. Its log is a [`Recording`]: each call that changed the disk,
//! with its bytes, in the order in which they ended, and between them each answer 200 in the order in
//! which they began. From one recording any number of disks can be made as a power cut may leave them
//! ([`Recording::cut`]), and the real reading code judges what it finds there ([`Judge`]).
//!
//! The disk keeps as little as POSIX lets it:
//!
//! * Bytes of a file are on the disk for sure after an fsync of that file, not before. Before, each
//!   sector of 512 bytes of each write is there or not, by itself, in any order; the file is as long as
//!   its last sector, or as all its writes, with zeros or noise in what is missing.
//! * A name is in its folder for sure after an fsync of that folder: not by a sync of the file, and the
//!   folder's own name only by a sync of the folder above. Before, the names of a folder are there or
//!   not, each by itself; changes of one name keep their order; a rename within a folder happens at
//!   once or not at all.
//! * Everything up to some moment may have been written back already.
//! * `kill -9` loses nothing. So recordings of a killed process and of the next one are put together,
//!   and a call that failed has done nothing.

mod cut;
mod disk;
mod judge;
mod lake;
mod recording;
mod scene;
mod total;

#[cfg(test)]
mod tests;

pub use cut::Cut;
pub use judge::{Found, Judge, Verdict};
pub use recording::{Acked, Recording};
pub use scene::{DATA, Scene, scenes};
pub use total::{Total, run};
