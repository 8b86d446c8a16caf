//! Changes as a fuzzer makes them, without looking at what they reach.

use rand::RngExt as _;
use rand::rngs::StdRng;

const TOKENS: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\0",
    b"null",
    b"1e309",
    b"-0.0",
    b"9007199254740993",
    b"{\"msys\":",
    b"\"type\":",
    b"\r\n\r\n",
    b"content-length: 3\r\n",
    b"transfer-encoding: chunked\r\n",
    b"\xff",
    b"\n",
    b"true",
];

/// The input with one to four changes; `other` is what pieces of another input are taken from.
pub(super) fn mutated(input: &[u8], other: &[u8], dice: &mut StdRng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..dice.random_range(1..=4) {
        change(&mut bytes, other, dice);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], dice: &mut StdRng) {
    let at = dice.random_range(0..=bytes.len());
    let end = dice.random_range(at..=bytes.len().min(at + 32));
    match dice.random_range(0..7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = dice.random(),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.insert(at, dice.random()),
        4 => {
            let token = TOKENS[dice.random_range(0..TOKENS.len())];
            drop(bytes.splice(at..at, token.iter().copied()));
        }
        5 => {
            let again = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, again));
        }
        _ => {
            let from = dice.random_range(0..=other.len());
            let to = dice.random_range(from..=other.len().min(from + 200));
            drop(bytes.splice(at..end, other[from..to].iter().copied()));
        }
    }
}
