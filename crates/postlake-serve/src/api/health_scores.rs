//! `GET /health-scores`: the latest of every subject; `GET /health-scores/{subaccount_id}`: history.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::endpoint::{Kind, Parameter};
use super::parameters::Parameters;
use super::problem::Problem;
use super::representation::{
    Listing, etag, is_held, not_modified, requested, split_suffix, tagged,
};
use crate::scores::{self, History};
use crate::state::ServeState;
use crate::subject::Subaccount;

/// Named in every JSON answer with scores, since the sender's own API uses 0 to 1.
const SCALE: &str = "0-100";

const MOST_ROWS: usize = 100_000;

/// Of `GET /health-scores`.
pub(super) const OF_LATEST: &[Parameter] = &[Parameter::query(
    "limit",
    Kind::Limit {
        default: MOST_ROWS,
        most: MOST_ROWS,
    },
    "Subjects at most, the worst first.",
)];

/// Of `GET /health-scores/{subaccount_id}`.
pub(super) const OF_HISTORY: &[Parameter] = &[
    Parameter::path(
        "subaccount_id",
        "`account` for the whole account, or the number of a subaccount; 0 is the primary account. A suffix `.json`, \
         `.csv`, `.ndjson` or `.parquet` says the format.",
    ),
    Parameter::query(
        "from",
        Kind::Instant,
        "Only scores triggered from this moment on.",
    ),
    Parameter::query(
        "to",
        Kind::Instant,
        "Only scores triggered before this moment.",
    ),
    Parameter::query(
        "limit",
        Kind::Limit {
            default: 1_000,
            most: MOST_ROWS,
        },
        "Scores at most, the newest first.",
    ),
    Parameter::query(
        "facet_name",
        Kind::Text,
        "A facet, such as `ip_pool`; without it the scores of the subject as a whole.",
    ),
    Parameter::query("facet_value", Kind::Text, "The value of the facet."),
];

/// Latest scores, worst first. The caller may cut the list with `limit`.
pub(super) async fn latest(
    State(state): State<ServeState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = Parameters::read(&uri, OF_LATEST)?.limit()?;
    let format = requested(uri.path(), &headers);
    let tables = state.engine().tables().await?;
    let tag = etag(&[
        state.run(),
        "health-scores",
        format.name(),
        &limit.to_string(),
        &format!("{:?}", tables.versions()),
    ]);
    if is_held(&headers, &tag) {
        return Ok(not_modified(tag));
    }
    let reader = state.engine().reader(&tables).await?;
    let batch = scores::latest_batch(&reader).await?;
    let mut listing = Listing::cut(batch, limit, reader.versions());
    listing.scale = Some(SCALE);
    Ok(tagged(listing.respond(format)?, tag))
}

/// Scores of one subject, newest first.
pub(super) async fn history(
    State(state): State<ServeState>,
    Path(segment): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let history = wanted(&segment, &uri)?;
    let format = requested(&segment, &headers);
    let tables = state.engine().tables().await?;
    let tag = etag(&[
        state.run(),
        "health-scores history",
        format.name(),
        &format!("{history:?}"),
        &format!("{:?}", tables.versions()),
    ]);
    if is_held(&headers, &tag) {
        return Ok(not_modified(tag));
    }
    let reader = state.engine().reader(&tables).await?;
    let batch = scores::history_batch(&reader, &history).await?;
    let mut listing = Listing::cut(batch, history.limit, reader.versions());
    listing.scale = Some(SCALE);
    Ok(tagged(listing.respond(format)?, tag))
}

fn wanted(segment: &str, uri: &Uri) -> Result<History, Problem> {
    let parameters = Parameters::read(uri, OF_HISTORY)?;
    let subaccount: Subaccount = split_suffix(segment).0.parse().map_err(|_| {
        Problem::invalid_parameter(
            "subaccount_id",
            "neither 'account' (the whole account) nor a subaccount number (0 is the primary account)",
        )
    })?;
    let from = parameters.instant("from")?;
    let to = parameters.instant("to")?;
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(Problem::invalid_parameter("to", "not later than 'from'"));
    }
    let text = |name: &str| parameters.text(name).map(str::to_owned);
    let facet = match (text("facet_name"), text("facet_value")) {
        (Some(name), Some(value)) => Some((name, value)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(Problem::invalid_parameter(
                "facet_value",
                "missing beside 'facet_name'",
            ));
        }
        (None, Some(_)) => {
            return Err(Problem::invalid_parameter(
                "facet_name",
                "missing beside 'facet_value'",
            ));
        }
    };
    Ok(History {
        subaccount,
        facet,
        from,
        to,
        limit: parameters.limit()?,
    })
}
