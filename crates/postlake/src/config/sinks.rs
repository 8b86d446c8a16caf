//! `[[sinks]]`: what each is, with the keys that its type has.

use std::time::Duration;

use figment::Figment;
use postlake_location::DataUrl;
use serde::Deserialize;

use super::{Faults, TimeText, parse_duration};

/// A configured sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkSettings {
    pub(crate) name: String,
    pub(crate) kind: SinkKind,
}

/// What a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SinkKind {
    /// CSV files, beside the lake or at a place of their own.
    Csv { url: Option<DataUrl> },
    /// A file for each Health Score, there too.
    Scores { url: Option<DataUrl> },
    /// Alerts as items of a table.
    DynamoDb(DynamoDbTable),
}

/// A table of DynamoDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DynamoDbTable {
    pub(crate) table: String,
    /// Else the environment says it.
    pub(crate) region: Option<String>,
    /// Else the environment says it, or the region.
    pub(crate) endpoint: Option<String>,
    /// How long items stay; for ever without.
    pub(crate) retention: Option<Duration>,
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSink {
    name: String,
    #[serde(rename = "type")]
    kind: RawKind,
    url: Option<String>,
    table: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    retention: Option<TimeText>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Csv,
    Scores,
    DynamoDb,
}

/// Without `[[sinks]]` there is one: CSV files. `sinks = []` means none.
pub(super) fn sinks(figment: &Figment, faults: &mut Faults) -> Option<Vec<SinkSettings>> {
    if figment.find_value("sinks").is_err() {
        return Some(vec![SinkSettings {
            name: "csv".to_owned(),
            kind: SinkKind::Csv { url: None },
        }]);
    }
    let raw: Vec<RawSink> = faults.value(figment, "sinks", Vec::new())?;
    let read = raw.into_iter().enumerate();
    let sinks: Vec<_> = read
        .map(|(index, raw)| sink(raw, &format!("sinks.{index}"), faults))
        .collect();
    let sinks = sinks.into_iter().collect::<Option<Vec<_>>>()?;
    for (index, sink) in sinks.iter().enumerate() {
        let mut before = sinks.iter().take(index);
        if before.clone().any(|other| other.name == sink.name) {
            faults.add("sinks", format!("two sinks are named {}", sink.name));
        }
        let files = !matches!(sink.kind, SinkKind::DynamoDb(_));
        if files && before.any(|other| other.kind == sink.kind) {
            let said = format!("{} writes to the same place as a sink before it", sink.name);
            faults.add("sinks", said);
        }
    }
    Some(sinks)
}

fn sink(raw: RawSink, key: &str, faults: &mut Faults) -> Option<SinkSettings> {
    let of_files = [("url", raw.url.is_some())];
    let of_table = [
        ("table", raw.table.is_some()),
        ("region", raw.region.is_some()),
        ("endpoint", raw.endpoint.is_some()),
        ("retention", raw.retention.is_some()),
    ];
    let is_table = raw.kind == RawKind::DynamoDb;
    let foreign: &[(&str, bool)] = if is_table { &of_files } else { &of_table };
    for (name, _) in foreign.iter().filter(|(_, is_there)| *is_there) {
        let types = if is_table {
            "csv and scores"
        } else {
            "dynamodb"
        };
        faults.add(
            &format!("{key}.{name}"),
            format!("is a key of sinks of type {types}"),
        );
    }
    let kind = match raw.kind {
        RawKind::Csv => SinkKind::Csv {
            url: place(raw.url, key, faults)?,
        },
        RawKind::Scores => SinkKind::Scores {
            url: place(raw.url, key, faults)?,
        },
        RawKind::DynamoDb => SinkKind::DynamoDb(DynamoDbTable {
            table: table(raw.table, key, faults)?,
            region: raw.region,
            endpoint: endpoint(raw.endpoint, key, faults)?,
            retention: retention(raw.retention, key, faults)?,
        }),
    };
    Some(SinkSettings {
        name: raw.name,
        kind,
    })
}

fn place(url: Option<String>, key: &str, faults: &mut Faults) -> Option<Option<DataUrl>> {
    match url.map(|url| DataUrl::parse(&url)).transpose() {
        Ok(place) => Some(place),
        Err(error) => {
            faults.add(&format!("{key}.url"), error);
            None
        }
    }
}

fn table(name: Option<String>, key: &str, faults: &mut Faults) -> Option<String> {
    let key = format!("{key}.table");
    let Some(name) = name else {
        faults.add(&key, "must name the table, \"hs_alerts\" say");
        return None;
    };
    let allowed = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    if !(3..=255).contains(&name.len()) || !name.chars().all(allowed) {
        let said =
            format!("`{name}` is no name of a table: 3 to 255 letters, digits, `_`, `-`, `.`");
        faults.add(&key, said);
        return None;
    }
    Some(name)
}

fn endpoint(url: Option<String>, key: &str, faults: &mut Faults) -> Option<Option<String>> {
    let is_http = |url: &String| {
        url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
    };
    if let Some(url) = url.as_ref().filter(|url| !is_http(url)) {
        let said = format!("`{url}` is not an address such as http://127.0.0.1:8000");
        faults.add(&format!("{key}.endpoint"), said);
        return None;
    }
    Some(url)
}

fn retention(text: Option<TimeText>, key: &str, faults: &mut Faults) -> Option<Option<Duration>> {
    let parsed = text.map(|text| match text {
        TimeText::Text(text) => parse_duration(&text),
        TimeText::Secs(secs) => Ok(Duration::from_secs(secs)),
    });
    match parsed.transpose() {
        Ok(time) => Some(time),
        Err(message) => {
            faults.add(&format!("{key}.retention"), message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use figment::providers::{Format as _, Toml};

    use super::*;

    fn read(text: &str) -> (Option<Vec<SinkSettings>>, Vec<String>) {
        let figment = Figment::from(Toml::string(text));
        let mut faults = Faults::of(&figment);
        let sinks = sinks(&figment, &mut faults);
        let said = faults.lines().collect();
        (sinks, said)
    }

    #[test]
    fn each_type_has_its_keys() {
        let (sinks, faults) = read(
            r#"
            [[sinks]]
            name = "files"
            type = "csv"
            [[sinks]]
            name = "hs"
            type = "scores"
            url = "s3://bucket/scores"
            [[sinks]]
            name = "store"
            type = "dynamodb"
            table = "hs_alerts"
            retention = "400d"
            "#,
        );
        assert_eq!(faults, Vec::<String>::new());
        let kinds: Vec<_> = sinks.unwrap().into_iter().map(|sink| sink.kind).collect();
        let url = Some(DataUrl::parse("s3://bucket/scores").unwrap());
        let table = DynamoDbTable {
            table: "hs_alerts".to_owned(),
            region: None,
            endpoint: None,
            retention: Some(Duration::from_secs(400 * 86_400)),
        };
        let expected = [
            SinkKind::Csv { url: None },
            SinkKind::Scores { url },
            SinkKind::DynamoDb(table),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn every_fault_is_named_with_its_key() {
        let cases = [
            (
                r#"type = "dynamodb""#,
                "sinks.0.table: must name the table, \"hs_alerts\" say",
            ),
            (
                "type = \"dynamodb\"\ntable = \"a b\"",
                "sinks.0.table: `a b` is no name of a table: 3 to 255 letters, digits, `_`, `-`, `.`",
            ),
            (
                "type = \"dynamodb\"\ntable = \"abc\"\nurl = \"x\"",
                "sinks.0.url: is a key of sinks of type csv and scores",
            ),
            (
                "type = \"csv\"\nretention = \"1d\"",
                "sinks.0.retention: is a key of sinks of type dynamodb",
            ),
            (
                "type = \"dynamodb\"\ntable = \"abc\"\nretention = \"1y\"",
                "sinks.0.retention: `y` is not a unit of time; use ms, s, m, h or d",
            ),
            (
                "type = \"dynamodb\"\ntable = \"abc\"\nendpoint = \"here\"",
                "sinks.0.endpoint: `here` is not an address such as http://127.0.0.1:8000",
            ),
            (
                "type = \"scores\"\nurl = \"ftp://x\"",
                "sinks.0.url: ftp://x is neither a directory nor an s3://bucket/prefix address",
            ),
        ];
        for (text, expected) in cases {
            let (_, faults) = read(&format!("[[sinks]]\nname = \"a\"\n{text}"));
            assert_eq!(faults, [expected], "{text}");
        }
    }

    #[test]
    fn two_sinks_share_neither_name_nor_place() {
        let twice = |kind: &str, names: [&str; 2]| {
            let [one, two] = names.map(|name| format!("[[sinks]]\nname = \"{name}\"\n{kind}\n"));
            read(&format!("{one}{two}")).1
        };
        let csv = r#"type = "csv""#;
        assert_eq!(
            twice(csv, ["a", "b"]),
            ["sinks: b writes to the same place as a sink before it"]
        );
        let table = "type = \"dynamodb\"\ntable = \"abc\"";
        assert_eq!(twice(table, ["a", "a"]), ["sinks: two sinks are named a"]);
        assert!(twice(table, ["a", "b"]).is_empty());
    }
}
