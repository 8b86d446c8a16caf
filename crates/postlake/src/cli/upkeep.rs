//! Arguments of the commands that keep the lake.

use std::time::Duration;

use clap::Args;

use super::{DataArgs, ReportFormat, parse_duration};

#[derive(Debug, Args)]
#[command(after_help = "\
Small files become large ones, sorted so that who looks for one subaccount or one recipient reads less of them.
The rows are the same, sinks are not told, and it may run beside a server, which does it by itself.
Raw segments of past days that are loaded become large objects, byte for byte, where a stream has eight or more.

Examples:
  postlake compact --dry-run
  postlake compact
  postlake compact -o json | jq '.tables[].bytes_after'")]
pub(crate) struct CompactArgs {
    /// Say what would be merged and change nothing.
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
Lets go of whole days (UTC) that are older than the rules under [retention] say: raw, events, alerts,
quarantine, batches, each as \"30d\". What has no rule is kept for ever. Raw days go when they are loaded.
With a clock that is more than a day away from what was received last nothing is deleted, and the exit code is 75.

Examples:
  postlake retain --dry-run
  postlake retain")]
pub(crate) struct RetainArgs {
    /// Say what would go and delete nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The clock was looked at: do not hold it against what was received.
    #[arg(long)]
    pub(crate) clock_is_right: bool,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReportFormat,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Deletes data files that were replaced or taken away, and old entries of the log, when they are older than
lake.vacuum_after and every configured sink has read them. A server that loads does it by itself.
With a clock that is more than a day away from what was received last nothing is deleted, and the exit code is 75.

Examples:
  postlake vacuum --dry-run
  postlake vacuum --older-than 1h")]
pub(crate) struct VacuumArgs {
    /// Say which files would go and delete nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Instead of lake.vacuum_after, as 0s or 12h: readers of older versions find their files gone.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// The clock was looked at: do not hold it against what was received.
    #[arg(long)]
    pub(crate) clock_is_right: bool,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReportFormat,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
