//! Query parameters: known ones, each once, each checked.

use axum::extract::Query;
use axum::http::Uri;
use chrono::{DateTime, Utc};

use super::endpoint::{Kind, Parameter, Place};
use super::problem::Problem;
use crate::nearest::nearest;

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Parameters {
    known: &'static [Parameter],
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Reads the query part of `uri`. Err: a name that is not in `known` or is there twice.
    pub(super) fn read(uri: &Uri, known: &'static [Parameter]) -> Result<Parameters, Problem> {
        let names: Vec<_> = known
            .iter()
            .filter(|parameter| parameter.place == Place::Query)
            .map(|parameter| parameter.name)
            .collect();
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
            Problem::invalid_parameter("?", "the query part of the URL cannot be read")
        })?;
        for (place, (name, _)) in pairs.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                return Err(Problem::invalid_parameter(name, unknown(name, &names)));
            }
            if pairs.iter().take(place).any(|(earlier, _)| earlier == name) {
                return Err(Problem::invalid_parameter(name, "given more than once"));
            }
        }
        Ok(Parameters { known, pairs })
    }

    /// A parameter's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A moment in RFC 3339.
    pub(super) fn instant(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match DateTime::parse_from_rfc3339(text) {
            Ok(at) => Ok(Some(at.with_timezone(&Utc))),
            Err(_) => Err(Problem::invalid_parameter(
                name,
                "not a time as in RFC 3339, such as 2026-01-31T00:00:00Z",
            )),
        }
    }

    /// The number of rows wanted; what it may be is said by the parameter.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let kinds = self.known.iter().map(|parameter| parameter.kind);
        let mut limits = kinds.filter_map(|kind| match kind {
            Kind::Limit { default, most } => Some((default, most)),
            Kind::Text | Kind::Instant => None,
        });
        let (default, most) = limits.next().unwrap_or_default();
        let Some(text) = self.text("limit") else {
            return Ok(default);
        };
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(Problem::invalid_parameter(
                "limit",
                format!("not a whole number from 1 to {most}"),
            )),
        }
    }
}

fn unknown(name: &str, known: &[&'static str]) -> String {
    if known.is_empty() {
        return "this path takes no parameters".to_owned();
    }
    match nearest(name, known.iter().copied()) {
        Some(guess) => format!("unknown parameter; did you mean '{guess}'?"),
        None => format!("unknown parameter; known are {}", known.join(", ")),
    }
}
