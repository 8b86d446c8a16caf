//! The logs of the lake's tables after a power cut. The latest commits may be missing; what is there
//! must be whole, in a row, and lead to whole files.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::cut::Cut;

/// What is wrong with the lake in the data directory `data`, if anything is.
pub(super) fn fault(cut: &Cut, data: &str) -> Option<String> {
    let lake = format!("{data}/lake/");
    let mut tables: BTreeMap<&str, BTreeMap<&str, &Bytes>> = BTreeMap::new();
    for (path, bytes) in &cut.tree {
        let below = path
            .strip_prefix(&lake)
            .and_then(|rest| rest.split_once('/'));
        if let Some((table, file)) = below {
            tables.entry(table).or_default().insert(file, bytes);
        }
    }
    let mut versions = BTreeMap::new();
    for (table, files) in &tables {
        match table_fault(files) {
            Ok(count) => versions.insert(*table, count),
            Err(fault) => return Some(format!("{table}: {fault}")),
        };
    }
    let of = |table| versions.get(table).copied().unwrap_or(0);
    // Each pass commits `events` first and `batches` last; version 0 is the empty table.
    let ahead = of("batches") > of("events").max(1);
    ahead.then(|| "batches has a commit more than events".to_owned())
}

/// How many versions the table has.
fn table_fault(files: &BTreeMap<&str, &Bytes>) -> Result<usize, String> {
    let entries = files.iter().filter_map(|(name, bytes)| {
        let version = name.strip_prefix("_delta_log/")?.strip_suffix(".json")?;
        Some((version.parse::<usize>().ok()?, *bytes))
    });
    let mut count = 0;
    for (version, bytes) in entries {
        if version != count {
            return Err(format!("version {version} is there and {count} is not"));
        }
        count += 1;
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        if !text.contains("\"commitInfo\"") {
            return Err(format!("the entry of version {version} is torn"));
        }
        for line in text.lines() {
            let action: Value = serde_json::from_str(line)
                .map_err(|_| format!("the entry of version {version} is torn"))?;
            let Some(path) = action["add"]["path"].as_str() else {
                continue;
            };
            let size = files.get(path).map(|bytes| bytes.len() as u64);
            let whole = files
                .get(path)
                .is_some_and(|bytes| bytes.ends_with(b"PAR1"));
            if size != action["add"]["size"].as_u64() || !whole {
                return Err(format!("version {version} names a file that is not whole"));
            }
        }
    }
    Ok(count)
}
