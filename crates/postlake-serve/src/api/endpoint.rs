//! What an endpoint is: the routes and the document about them are both made of this.

use axum::routing::MethodRouter;

use crate::format::Format;
use crate::state::ServeState;

/// An endpoint of the API.
pub(super) struct Endpoint {
    /// With its parameters in braces, without the suffix of a format.
    pub(super) path: &'static str,
    pub(super) method: Method,
    /// A name for generated clients.
    pub(super) id: &'static str,
    pub(super) about: &'static str,
    pub(super) formats: Formats,
    pub(super) parameters: &'static [Parameter],
    /// The component that describes its JSON.
    pub(super) answer: &'static str,
    /// Problems of its own, beside those that any endpoint has.
    pub(super) problems: &'static [&'static str],
    /// Whether it has an entity tag, and answers 304.
    pub(super) is_tagged: bool,
    pub(super) route: fn() -> MethodRouter<ServeState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// What an endpoint answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Formats {
    /// JSON, at the path and with the suffix `.json`.
    Json,
    /// JSON, at the path alone.
    JsonAlone,
    /// Any, by a suffix that is a path of its own, or by `Accept`.
    All,
    /// Any, by a suffix of the path's last part, or by `Accept`.
    AllInPart,
    /// Any, by `Accept`.
    AllByAccept,
}

/// What rows travel in.
pub(super) const ROW_FORMATS: [Format; 4] =
    [Format::Json, Format::Csv, Format::Ndjson, Format::Parquet];

impl Formats {
    /// What stands behind the path, and the formats that are had there.
    pub(super) fn suffixes(self) -> Vec<(String, Vec<Format>)> {
        let suffix = |format: Format| (format!(".{}", format.name()), vec![format]);
        let plain = |formats: &[Format]| (String::new(), formats.to_vec());
        match self {
            Formats::JsonAlone => vec![plain(&[Format::Json])],
            Formats::Json => vec![plain(&[Format::Json]), suffix(Format::Json)],
            Formats::AllInPart | Formats::AllByAccept => vec![plain(&ROW_FORMATS)],
            Formats::All => std::iter::once(plain(&ROW_FORMATS))
                .chain(ROW_FORMATS.map(suffix))
                .collect(),
        }
    }
}

/// A parameter, in the path or behind it.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// As in RFC 3339.
    Instant,
    /// A number of rows.
    Limit {
        default: usize,
        most: usize,
    },
}

impl Parameter {
    pub(super) const fn query(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
        Parameter {
            name,
            place: Place::Query,
            kind,
            about,
        }
    }

    pub(super) const fn path(name: &'static str, about: &'static str) -> Parameter {
        Parameter {
            name,
            place: Place::Path,
            kind: Kind::Text,
            about,
        }
    }
}
