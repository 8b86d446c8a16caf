//! Arguments of the commands that look after what was received and loaded.

use clap::{Args, ValueEnum};

use super::DataArgs;
use super::moment::Moment;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

/// Which batches, by the time at which they were received.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WindowArgs {
    /// Batches received from then on: 2026-03-01, 2026-03-01T10:00:00Z, or 24h for so long ago.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<Moment>,
    /// Batches received before then.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<Moment>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Reads every raw segment and holds it against the lake; changes nothing, and may run beside a server.
Ends with 0 when all holds, with 65 when something does not: each finding names the place and the reason.

Examples:
  postlake verify
  postlake verify --since 24h --ledger
  postlake verify --deep
  postlake verify -o json | jq '.findings'")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    /// Show the ledger too: what was received in each hour, and what became of it.
    #[arg(long)]
    pub(crate) ledger: bool,
    /// Read every page of every data file too, and compare every value with what raw says.
    #[arg(long)]
    pub(crate) deep: bool,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReportFormat,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
