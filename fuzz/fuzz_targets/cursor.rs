//! The cursor of the API's lists: any text is read or refused, and what is read is written as it was.
#![no_main]

#[path = "../../crates/postlake-serve/src/api/cursor.rs"]
mod cursor;

use cursor::{Cursor, next_path};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    // As the caller sends it, and as it is inside.
    for text in [String::from_utf8_lossy(input).into_owned(), hex::encode(input)] {
        let Some(cursor) = Cursor::parse(&text) else {
            continue;
        };
        let again = cursor.text().expect("a cursor is written");
        assert!(again.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(Cursor::parse(&again).as_ref(), Some(&cursor));
        let path = next_path("/api/v1/batches", &text, &again);
        assert_eq!(path.matches("cursor=").count(), 1);
    }
    let path = next_path("/api/v1/batches", &String::from_utf8_lossy(input), "00");
    assert!(path.ends_with("cursor=00"));
});
