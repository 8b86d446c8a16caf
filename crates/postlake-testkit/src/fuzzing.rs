//! What fuzzing drives: functions that take any bytes and panic when a promise is broken.
//!
//! `fuzz/` gives them to libFuzzer. The tests of this module run every file of the committed corpus and
//! some thousand mutations of it through each of them, so that they are held in every run of the tests.

mod alert;
mod body;
mod csv;
mod decode;
mod frame;
mod http;
#[cfg(test)]
mod mutate;
mod split;

/// A function under fuzzing.
#[derive(Clone, Copy, Debug)]
pub struct Fuzzed {
    /// Its name, and that of its folder below `fuzz/corpus`.
    pub name: &'static str,
    /// Panics on bytes that break a promise.
    pub run: fn(&[u8]),
}

/// All of them, but for `cursor`, which lies in a crate of its own (see `fuzz/fuzz_targets/cursor.rs`).
pub const FUZZED: [Fuzzed; 6] = [
    Fuzzed {
        name: "alert",
        run: alert::check,
    },
    Fuzzed {
        name: "csv",
        run: csv::check,
    },
    Fuzzed {
        name: "decode",
        run: decode::check,
    },
    Fuzzed {
        name: "frame",
        run: frame::check,
    },
    Fuzzed {
        name: "http",
        run: http::check,
    },
    Fuzzed {
        name: "split",
        run: split::check,
    },
];

/// Runs one of them.
///
/// # Panics
/// When there is none of that name, or it finds fault.
pub fn fuzzed(name: &str, input: &[u8]) {
    let found = FUZZED.iter().find(|fuzzed| fuzzed.name == name);
    let found = found.unwrap_or_else(|| panic!("nothing is called {name}"));
    (found.run)(input);
}

#[cfg(test)]
mod tests;
