//! Arguments of `postlake replay` and `postlake backfill`.

use clap::Args;

use super::DataArgs;
use super::books::{ReportFormat, WindowArgs};

#[derive(Debug, Args)]
#[command(after_help = "\
Reads raw segments again with this release and makes the lake what it would be had they been loaded by it: rows that
are missing are added, rows that are written otherwise today are replaced, quarantined items that can be read become
rows. What is not loaded yet is loaded first. Run it again after an interruption; one after a replay changes nothing.

Examples:
  postlake replay --all --dry-run
  postlake replay --since 2026-03-01 --until 2026-03-02
  postlake replay --batch 77c2b630-d712-11e4-9642-efc2723b99c1")]
pub(crate) struct ReplayArgs {
    /// Replay everything.
    #[arg(long, conflicts_with_all = ["segment", "batch", "since", "until"])]
    pub(crate) all: bool,
    /// Replay this raw segment: its object's name, or <stream>/<segment>.
    #[arg(long, value_name = "SEGMENT")]
    pub(crate) segment: Vec<String>,
    /// Replay the batches that came under this id.
    #[arg(long, value_name = "ID", conflicts_with = "segment")]
    pub(crate) batch: Option<String>,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
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
#[command(after_help = "\
A sink keeps its own position where it writes. Empty it there (remove its files or its table), then fill it from the lake:

  postlake backfill --sink files")]
pub(crate) struct BackfillArgs {
    /// The sink, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: String,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReportFormat,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is overwritten. Data files that are missing or damaged are taken out of the log and their rows made again from raw;
of a raw segment that was damaged before it was loaded, what is certain is copied into a stream of its own and loaded.
Ends with 65 when something is left that cannot be repaired: it says what, and why.")]
pub(crate) struct RepairArgs {
    /// Say what would happen, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReportFormat,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
