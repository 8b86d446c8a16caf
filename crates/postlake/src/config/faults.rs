//! What is wrong with a configuration: all of it at once, each fault by the name under which the user
//! wrote it, with a guess at what was meant.

use std::fmt;

use figment::Figment;
use figment::error::{Actual, Kind};
use serde::Deserialize;
use strsim::normalized_damerau_levenshtein;

/// What every variable of ours begins with.
const PREFIX: &str = "POSTLAKE_";

/// Below this likeness (0 to 1) a guess would be noise.
const LIKE_ENOUGH: f64 = 0.5;

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<(String, String)>,
    /// Keys whose value came from the environment.
    from_environment: Vec<String>,
}

impl Faults {
    /// None yet; knows which keys of `figment` the environment has set.
    pub(super) fn of(figment: &Figment) -> Faults {
        Faults {
            found: Vec::new(),
            from_environment: leaves(figment)
                .into_iter()
                .filter(|(key, _)| is_from_environment(figment, key))
                .map(|(key, _)| key)
                .collect(),
        }
    }

    pub(crate) fn add(&mut self, key: &str, message: impl fmt::Display) {
        self.found.push((key.to_owned(), message.to_string()));
    }

    /// A name that does not exist, with the nearest of those that do.
    pub(super) fn unknown(&mut self, key: &str, what: &str, known: &[String]) {
        let named = |key: &str| match self.is_variable(key) {
            true => variable(key),
            false => key.to_owned(),
        };
        // What stands before the last point is right already and would make everything look alike.
        let last = |key: &'_ str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let ends: Vec<_> = known.iter().map(|known| last(known)).collect();
        let meant = nearest(&last(key), ends.iter().map(String::as_str));
        let meant = meant.and_then(|meant| known.iter().find(|known| last(known) == meant));
        let message = match meant {
            Some(meant) if self.is_variable(key) => {
                format!("there is no such {what}; did you mean {}?", variable(meant))
            }
            Some(meant) => format!("there is no such {what}; did you mean {meant}?"),
            None => {
                let known: Vec<_> = known.iter().map(|known| named(known)).collect();
                format!("there is no such {what}; there are {}", known.join(", "))
            }
        };
        self.add(key, message);
    }

    /// The value under `key`, or the default when there is none.
    pub(super) fn value<'a, T: Deserialize<'a>>(
        &mut self,
        figment: &Figment,
        key: &str,
        default: T,
    ) -> Option<T> {
        if figment.find_value(key).is_err() {
            return Some(default);
        }
        match figment.extract_inner(key) {
            Ok(value) => Some(value),
            Err(error) => {
                for error in error {
                    let place = match error.path.join(".") {
                        inner if inner.starts_with(key) => inner,
                        _ => key.to_owned(),
                    };
                    self.add(&place, in_words(&error.kind));
                }
                None
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Each fault on its own, by the name under which the user wrote it.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.found.iter().map(|(key, message)| {
            if self.is_variable(key) {
                format!("{}: {message}", variable(key))
            } else {
                format!("{key}: {message}")
            }
        })
    }

    fn is_variable(&self, key: &str) -> bool {
        let inside = |set: &String| set == key || set.starts_with(&format!("{key}."));
        self.from_environment.iter().any(inside)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the configuration is not right:")?;
        for fault in self.lines() {
            write!(formatter, "\n  {fault}")?;
        }
        Ok(())
    }
}

/// The variable that sets `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// The candidate nearest to `word`, if any is near enough to be worth saying.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |candidate: &str| normalized_damerau_levenshtein(word, candidate);
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// True if the environment has set `key`.
pub(super) fn is_from_environment(figment: &Figment, key: &str) -> bool {
    figment
        .find_metadata(key)
        .is_some_and(|metadata| metadata.name.contains("environment"))
}

/// Every value that is set, with its full key, in order.
pub(super) fn leaves(figment: &Figment) -> Vec<(String, figment::value::Value)> {
    let mut found = Vec::new();
    if let Ok(top) = figment.extract::<figment::value::Dict>() {
        for (key, value) in top {
            collect(&key, value, &mut found);
        }
    }
    found
}

fn collect(
    key: &str,
    value: figment::value::Value,
    found: &mut Vec<(String, figment::value::Value)>,
) {
    use figment::value::Value;
    match value {
        Value::Dict(_, inner) => {
            for (name, value) in inner {
                collect(&format!("{key}.{name}"), value, found);
            }
        }
        Value::Array(_, items) => {
            for (index, value) in items.into_iter().enumerate() {
                collect(&format!("{key}.{index}"), value, found);
            }
        }
        value => found.push((key.to_owned(), value)),
    }
}

/// A library's complaint in a user's words.
fn in_words(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
            format!(
                "must be {}, not {}",
                wanted_in_words(wanted),
                found_in_words(found)
            )
        }
        Kind::UnknownVariant(found, known) => {
            let guess = nearest(found, known.iter().copied());
            let guess = guess.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            format!("must be one of {}, not `{found}`{guess}", known.join(", "))
        }
        Kind::UnknownField(found, known) => {
            let guess = nearest(found, known.iter().copied());
            let guess = guess.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
            format!(
                "there is no `{found}` here; there are {}{guess}",
                known.join(", ")
            )
        }
        Kind::MissingField(name) => format!("`{name}` is missing"),
        Kind::ISizeOutOfRange(value) => format!("{value} is too small"),
        Kind::USizeOutOfRange(value) => format!("{value} is too large"),
        other => other.to_string(),
    }
}

fn wanted_in_words(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number, zero or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "string" => "text in quotes",
        "a boolean" | "bool" => "true or false",
        "a sequence" | "sequence" => "a list in [brackets]",
        "a map" | "map" => "a section",
        other => match other.strip_prefix("struct ") {
            Some(_) => "a section",
            None => other,
        },
    }
}

/// What stood there. Text is not repeated: it may be a secret in the wrong place.
fn found_in_words(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "text".to_owned(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        Actual::Unit | Actual::Option => "nothing".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_guessed_and_noise_is_not() {
        let known = ["store.url", "ingest.listen", "read.listen"];
        assert_eq!(nearest("store.ulr", known), Some("store.url"));
        assert_eq!(nearest("ingest.lisen", known), Some("ingest.listen"));
        assert_eq!(nearest("weather", known), None);
        assert_eq!(
            variable("ingest.auth.basic"),
            "POSTLAKE_INGEST__AUTH__BASIC"
        );
    }
}
