//! RFC 4180, read strictly: an empty field is null, `""` is empty text.

use std::collections::BTreeMap;

/// A row by its column names; `None` is null.
pub type Row = BTreeMap<String, Option<String>>;

/// The rows under the header line. Panics on anything that RFC 4180 does not allow.
#[track_caller]
pub fn parse(text: &str) -> (Vec<String>, Vec<Row>) {
    let mut records = records(text).into_iter();
    let header: Vec<String> = records
        .next()
        .expect("a header line")
        .into_iter()
        .map(|name| name.expect("columns have names"))
        .collect();
    let rows = records
        .map(|record| {
            assert_eq!(record.len(), header.len(), "a row has every column");
            header.iter().cloned().zip(record).collect()
        })
        .collect();
    (header, rows)
}

#[track_caller]
fn records(text: &str) -> Vec<Vec<Option<String>>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (field, after) = field(rest);
        record.push(field);
        if let Some(next) = after.strip_prefix(',') {
            rest = next;
        } else {
            rest = after.strip_prefix("\r\n").expect("lines end in CR LF");
            records.push(std::mem::take(&mut record));
        }
    }
    assert!(record.is_empty(), "the last line is whole");
    records
}

#[track_caller]
fn field(text: &str) -> (Option<String>, &str) {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\r']).expect("a field ends");
        let (plain, after) = text.split_at(end);
        assert!(
            !plain.contains(['"', '\n']),
            "quotes and line feeds are quoted"
        );
        return ((!plain.is_empty()).then(|| plain.to_owned()), after);
    };
    let mut value = String::new();
    loop {
        let (part, after) = rest.split_once('"').expect("a quote is closed");
        value.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None => return (Some(value), after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_text_differ_and_quotes_are_read() {
        let (header, rows) = parse("a,b,c\r\n,\"\",\"x \"\"y\"\",\r\nz\"\r\n");
        assert_eq!(header, ["a", "b", "c"]);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["a"], None);
        assert_eq!(rows[0]["b"].as_deref(), Some(""));
        assert_eq!(rows[0]["c"].as_deref(), Some("x \"y\",\r\nz"));
    }
}
