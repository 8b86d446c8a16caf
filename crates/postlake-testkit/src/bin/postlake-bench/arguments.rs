//! `--name value` pairs.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};

/// The values of one command line, by name.
#[derive(Debug)]
pub(crate) struct Arguments {
    values: BTreeMap<String, String>,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut values = BTreeMap::new();
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix("--")
                .with_context(|| format!("{word} is not --name"))?;
            let value = words
                .next()
                .with_context(|| format!("--{name} lacks a value"))?;
            values.insert(name.to_owned(), value);
        }
        Ok(Self { values })
    }

    /// The value of `--name`; none if it was not given.
    pub(crate) fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let read = |text: &String| {
            text.parse()
                .map_err(|_| anyhow!("--{name}: cannot read {text}"))
        };
        self.values.get(name).map(read).transpose()
    }

    /// The value of `--name`, which must have been given.
    pub(crate) fn required<T: FromStr>(&self, name: &str) -> Result<T> {
        self.optional(name)?
            .with_context(|| format!("--{name} is missing"))
    }

    /// The value of `--name`, or `default`.
    pub(crate) fn or<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(default))
    }
}
