//! The views over the tables, as SQL.

use postlake_event::health::{BAD_BELOW, GOOD_FROM, METRIC};

/// The names of the views.
pub const VIEWS: [&str; 2] = ["health_scores", "latest_health_scores"];

/// `health_scores`: each Health Score on its 0 to 100 scale.
///
/// An alert on a *change* of the score (`source` day over day or week over week) carries a per cent
/// value and no score, so it is not among them. Neither is a value outside the scale, nor one whose
/// subaccount cannot be read: it would stand for the whole account. The band follows the rounded score, so that number and
/// word of a row never disagree.
pub(super) fn health_scores() -> String {
    format!(
        "select alert_id, name, subaccount_id, facet_name, facet_value, triggered_at, triggered_value, score, \
                case when score < {BAD_BELOW:.1} then 'bad' \
                     when score < {GOOD_FROM:.1} then 'needs_improvement' \
                     else 'good' end as band, \
                received_at, record_id \
         from (select *, round(triggered_value, 3) as score \
               from alerts \
               where metric = '{METRIC}' and triggered_value between 0 and 100 \
                 and strpos(coalesce(flags, ''), 'misfit:filters') = 0 \
                 and strpos(coalesce(flags, ''), 'misfit:subaccount_id') = 0 \
                 and coalesce(lower(\"source\"), 'raw') = 'raw') as raw_scores"
    )
}

/// `latest_health_scores`: the newest by `triggered_at` for each subaccount and facet. Of two that
/// were triggered at the same moment the one received last counts.
pub(super) const LATEST_HEALTH_SCORES: &str = "select alert_id, name, subaccount_id, facet_name, facet_value, \
            triggered_at, triggered_value, score, band, received_at, record_id \
     from (select *, row_number() over ( \
                 partition by subaccount_id, facet_name, facet_value \
                 order by triggered_at desc, received_at desc, record_id desc) as place \
           from health_scores) as placed \
     where place = 1";
