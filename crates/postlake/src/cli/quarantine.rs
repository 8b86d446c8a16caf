//! Arguments of `postlake quarantine`.

use clap::{Args, Subcommand};
use postlake_loader::ItemPlace;
use postlake_serve::format::Format;

use super::DataArgs;
use super::books::{ReportFormat, WindowArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List what could not be decoded, newest first.
    List(QuarantineListArgs),
    /// Show one item: why, where, and what the raw segment holds there.
    Show(QuarantineShowArgs),
    /// Read items again with this release; what can be read now becomes rows.
    Retry(QuarantineRetryArgs),
    /// Note that items are of no use: lists leave them out, nothing is deleted.
    Drop(QuarantineDropArgs),
}

/// Which items.
#[derive(Clone, Debug, Args)]
pub(crate) struct QuarantineFilter {
    /// Items with this code: json, envelope, utf8, depth, size, encoding, segment.
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// Items that came through this webhook: events or alerts.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Items of this batch.
    #[arg(long, value_name = "ID")]
    pub(crate) batch: Option<String>,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
}

impl QuarantineFilter {
    /// True if nothing is filtered.
    pub(crate) fn is_empty(&self) -> bool {
        let QuarantineFilter {
            code,
            source,
            batch,
            window,
        } = self;
        code.is_none()
            && source.is_none()
            && batch.is_none()
            && window.since.is_none()
            && window.until.is_none()
    }
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineListArgs {
    #[command(flatten)]
    pub(crate) filter: QuarantineFilter,
    /// Show dropped items too.
    #[arg(long)]
    pub(crate) dropped: bool,
    /// Items at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// table, csv, json, ndjson or parquet [default: table on a terminal, else csv].
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineShowArgs {
    /// The item, as `quarantine list` names it: <stream>/<segment>/<batch>/<item>.
    pub(crate) place: ItemPlace,
    /// Write the exact bytes of the whole body to stdout, and nothing else.
    #[arg(long)]
    pub(crate) body: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineRetryArgs {
    /// Items, as `quarantine list` names them.
    pub(crate) places: Vec<ItemPlace>,
    /// All items, or all that the filter leaves.
    #[arg(long, conflicts_with = "places")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: QuarantineFilter,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReportFormat,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QuarantineDropArgs {
    /// Items, as `quarantine list` names them.
    pub(crate) places: Vec<ItemPlace>,
    /// All items that the filter leaves.
    #[arg(long, conflicts_with = "places")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) filter: QuarantineFilter,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Say how many it would be, and note nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
