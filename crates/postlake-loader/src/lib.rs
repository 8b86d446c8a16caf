//! Raw segments to the lake: discover, decode, de-duplicate, quarantine, commit.
