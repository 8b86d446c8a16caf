//! The model itself: which bytes a sync covers, and which file is which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::Recording;

const HOME: &str = "/home";
const CUTS: u64 = 2_000;
/// More than a sector, so that it can be torn.
const LONG: usize = 2_000;

/// A log of `strace`, written by hand.
#[derive(Default)]
struct Log(String);

impl Log {
    fn line(&mut self, thread: u32, call: &str) -> &mut Log {
        writeln!(self.0, "{thread} {call}").unwrap();
        self
    }

    fn open(&mut self, name: &str, flags: &str, descriptor: u32) -> &mut Log {
        let path = quoted(&path(name));
        let call = format!("openat(AT_FDCWD, {path}, {flags}) = {descriptor}");
        self.line(1, &call)
    }

    fn create(&mut self, name: &str, descriptor: u32) -> &mut Log {
        self.open(name, "O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0666", descriptor)
    }

    fn write(&mut self, descriptor: u32, letter: char) -> &mut Log {
        let bytes = quoted(&content(letter));
        self.line(1, &format!("write({descriptor}, {bytes}, {LONG}) = {LONG}"))
    }

    fn sync(&mut self, descriptor: u32) -> &mut Log {
        self.line(1, &format!("fsync({descriptor}) = 0"))
    }

    fn close(&mut self, descriptor: u32) -> &mut Log {
        self.line(1, &format!("close({descriptor}) = 0"))
    }

    fn link(&mut self, from: &str, to: &str) -> &mut Log {
        let (from, to) = (quoted(&path(from)), quoted(&path(to)));
        let call = format!("linkat(AT_FDCWD, {from}, AT_FDCWD, {to}, 0) = 0");
        self.line(1, &call)
    }

    fn rename(&mut self, from: &str, to: &str) -> &mut Log {
        let (from, to) = (quoted(&path(from)), quoted(&path(to)));
        self.line(1, &format!("rename({from}, {to}) = 0"))
    }

    fn unlink(&mut self, name: &str) -> &mut Log {
        let call = format!("unlink({}) = 0", quoted(&path(name)));
        self.line(1, &call)
    }

    fn sync_folder(&mut self, descriptor: u32) -> &mut Log {
        self.open("", "O_RDONLY|O_CLOEXEC", descriptor)
            .sync(descriptor)
            .close(descriptor)
    }

    fn recording(&self) -> Recording {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, &self.0).unwrap();
        let mut recording = Recording::new(Path::new(HOME));
        recording.add(&log);
        recording
    }

    /// What can stand under `name` when the power goes after the last call: a letter for a whole file,
    /// `torn`, or `none`.
    fn left(&self, name: &str) -> BTreeSet<String> {
        let recording = self.recording();
        let cuts = (0..CUTS).map(|seed| recording.cut(seed));
        let last = cuts.filter(|cut| cut.at == recording.len());
        let left: BTreeSet<String> = last
            .map(|cut| {
                let tree: BTreeMap<_, _> = cut.tree.into_iter().collect();
                tree.get(name)
                    .map_or("none".to_owned(), |bytes| told(bytes))
            })
            .collect();
        assert!(!left.is_empty(), "no cut fell behind the last call");
        left
    }
}

fn path(name: &str) -> String {
    if name.is_empty() {
        return HOME.to_owned();
    }
    format!("{HOME}/{name}")
}

fn quoted(text: &str) -> String {
    let hex: String = text.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{hex}\"")
}

fn content(letter: char) -> String {
    letter.to_string().repeat(LONG)
}

fn told(bytes: &[u8]) -> String {
    let whole = ['a', 'b'].into_iter();
    let mut whole = whole.filter(|letter| bytes == content(*letter).as_bytes());
    whole.next().map_or("torn".to_owned(), String::from)
}

#[track_caller]
fn check(log: &Log, name: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&word| word.to_owned()).collect();
    assert_eq!(log.left(name), expected);
}

/// An entry of a table's log: written and synced under another name, then linked. One sync is enough.
#[test]
fn bytes_that_were_synced_under_one_name_are_there_under_the_next() {
    let mut log = Log::default();
    log.create("a#1", 3).write(3, 'a').sync(3);
    log.link("a#1", "a").unlink("a#1");
    check(&log, "a", &["none", "a"]);
    log.sync_folder(4).close(3);
    check(&log, "a", &["a"]);
    check(&log, "a#1", &["none"]);

    let mut renamed = Log::default();
    renamed.create("a#1", 3).write(3, 'a').sync(3);
    renamed.rename("a#1", "a").sync_folder(4);
    check(&renamed, "a", &["a"]);
}

#[test]
fn a_name_that_comes_before_the_sync_may_lead_to_a_torn_file() {
    let mut log = Log::default();
    log.create("a#1", 3).write(3, 'a').link("a#1", "a");
    log.sync_folder(4);
    check(&log, "a", &["a", "torn"]);
    // Through any of its names: it is one file.
    log.open("a", "O_RDONLY|O_CLOEXEC", 5).sync(5);
    check(&log, "a", &["a"]);
}

#[test]
fn a_sync_covers_what_was_written_before_it_and_nothing_else() {
    let mut log = Log::default();
    log.create("a", 3).sync(3).write(3, 'a').sync_folder(4);
    check(&log, "a", &["a", "torn"]);
    let mut other = Log::default();
    other.create("a", 3).write(3, 'a').create("b", 4);
    other.write(4, 'b').sync(4).sync_folder(5);
    check(&other, "a", &["a", "torn"]);
    check(&other, "b", &["b"]);
}

#[test]
fn a_number_that_is_used_again_is_another_file() {
    let mut log = Log::default();
    log.create("a", 3).write(3, 'a').close(3);
    log.create("b", 3).write(3, 'b').sync(3).sync_folder(4);
    check(&log, "a", &["a", "torn"]);
    check(&log, "b", &["b"]);
}

/// The number is free before the tracer sees the call of the other thread return.
#[test]
fn a_number_is_free_as_soon_as_its_close_begins() {
    let mut log = Log::default();
    log.create("a", 3).write(3, 'a').sync(3);
    log.line(2, "close(3 <unfinished ...>");
    log.create("b", 3);
    log.line(2, "<... close resumed>) = 0");
    log.write(3, 'b').sync(3).sync_folder(4);
    check(&log, "a", &["a"]);
    check(&log, "b", &["b"]);
}

/// A staging name is used again as soon as it is free; what was linked from it is another file by then.
#[test]
fn a_name_that_is_used_again_is_another_file() {
    let mut log = Log::default();
    log.create("a#1", 3).write(3, 'a').sync(3);
    log.link("a#1", "a").unlink("a#1").sync_folder(4);
    log.create("a#1", 5).write(5, 'b');
    check(&log, "a", &["a"]);

    // Another thread's, before the tracer sees the unlink return.
    let mut log = Log::default();
    log.create("a#1", 3).write(3, 'a').sync(3);
    log.link("a#1", "a").sync_folder(4);
    let name = quoted(&path("a#1"));
    log.line(2, &format!("unlink({name} <unfinished ...>"));
    log.create("a#1", 5);
    log.line(2, "<... unlink resumed>) = 0");
    log.write(5, 'b').sync(5).sync_folder(4);
    check(&log, "a", &["a"]);
    check(&log, "a#1", &["b"]);
}
