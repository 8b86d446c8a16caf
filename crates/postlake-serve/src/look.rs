//! Everything that the page shows, taken at one moment and kept until the lake moves on.

use std::collections::HashMap;

use chrono::NaiveDate;

use crate::ledger::{Asked, LedgerHour, ledger_batch};
use crate::scores::{self, ScoreRow, TrendPoint};
use crate::sql::{SqlEngine, SqlError, rows};
use crate::summary::{self, Summary};

/// Hours of the ledger on the page; the links beside it lead to all.
const LEDGER_HOURS: usize = 12;

/// Everything that the page shows of one moment of the lake.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) summary: Summary,
    /// The newest hours of the ledger.
    pub(crate) ledger: Vec<LedgerHour>,
    pub(crate) scores: Vec<ScoreRow>,
    pub(crate) trends: HashMap<Subject, Vec<(NaiveDate, f64)>>,
}

/// Subaccount, facet name, facet value.
pub(crate) type Subject = (Option<i64>, Option<String>, Option<String>);

impl Look {
    /// Takes one moment of the lake and asks it everything.
    pub(crate) async fn take(engine: &SqlEngine) -> Result<Look, SqlError> {
        let (reader, summary) = summary::take(engine).await?;
        let newest = Asked {
            since: None,
            until: None,
            limit: LEDGER_HOURS,
        };
        let ledger = rows(&ledger_batch(&reader, newest).await?)?;
        let scores = rows(&scores::latest_batch(&reader).await?)?;
        let mut trends: HashMap<Subject, Vec<(NaiveDate, f64)>> = HashMap::new();
        for point in scores::trends(&reader).await? {
            let TrendPoint {
                subaccount_id,
                facet_name,
                facet_value,
                day,
                score,
            } = point;
            trends
                .entry((subaccount_id, facet_name, facet_value))
                .or_default()
                .push((day, score));
        }
        Ok(Look {
            summary,
            ledger,
            scores,
            trends,
        })
    }
}
