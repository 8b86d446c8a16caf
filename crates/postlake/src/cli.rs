//! The command line.

mod books;
mod moment;
mod quarantine;
mod replay;
mod upkeep;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use postlake_serve::format::Format;
use postlake_sparkpost::{Bad, EventType};

use crate::config::{Flags, parse_duration};
use crate::telemetry::LogFormat;
pub(crate) use books::{ReportFormat, VerifyArgs, WindowArgs};
pub(crate) use quarantine::{
    QuarantineCommand, QuarantineDropArgs, QuarantineFilter, QuarantineListArgs,
    QuarantineRetryArgs, QuarantineShowArgs,
};
pub(crate) use replay::{BackfillArgs, RepairArgs, ReplayArgs};
pub(crate) use upkeep::{CompactArgs, RetainArgs, VacuumArgs};

/// SparkPost webhooks and Health Score alerts: received durably, loaded into an open lake, answered.
#[derive(Debug, Parser)]
#[command(name = "postlake", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Say more on stderr.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// How the log on stderr is written.
    #[arg(
        long,
        global = true,
        hide_env_values = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        env = "POSTLAKE_LOG_FORMAT"
    )]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  postlake demo                                  see everything with made-up traffic
  postlake serve                                 receive, load and serve from ./postlake-data
  postlake trigger --type bounce --count 350     send a realistic batch to it
  postlake scores                                who is in trouble, worst first
  postlake query \"SELECT type, count(*) FROM events GROUP BY type\"
  postlake convert batch.json --to csv           raw SparkPost JSON without a server";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Receive webhooks, load them into the lake and serve it.
    Serve(ServeArgs),
    /// Serve a temporary directory and play SparkPost against it.
    Demo(DemoArgs),
    /// Send realistic batches or alerts to a URL.
    Trigger(TriggerArgs),
    /// Load what was received and exit.
    Load(LoadArgs),
    /// Load what other receivers have stored: raw batches and score files, object by object.
    Import(ImportArgs),
    /// Make the tables of the sinks of type dynamodb.
    #[command(subcommand)]
    Dynamodb(DynamodbCommand),
    /// Be a function of AWS Lambda; entered by itself under its runtime.
    Lambda(LambdaArgs),
    /// Ask the lake in SQL, without a server.
    Query(QueryArgs),
    /// Show the latest Health Score of each subaccount, worst first.
    Scores(ScoresArgs),
    /// Turn files of SparkPost JSON into csv, parquet or ndjson, without a server.
    Convert(ConvertArgs),
    /// Hold the raw segments and the lake against each other: checksums, holes, books.
    Verify(VerifyArgs),
    /// Look at what could not be decoded, try it again, drop it.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Read raw segments again with this release and make the lake right.
    Replay(ReplayArgs),
    /// Make good what is damaged or missing, from what is left.
    Repair(RepairArgs),
    /// Fill a new or emptied sink from the lake.
    Backfill(BackfillArgs),
    /// Merge small files of the lake into large ones.
    Compact(CompactArgs),
    /// Let go of days that are older than the rules under [retention].
    Retain(RetainArgs),
    /// Delete data files that no reader needs any more.
    Vacuum(VacuumArgs),
    /// Write a commented configuration with new secrets, and say what to enter in SparkPost.
    Init(InitArgs),
    /// Read the configuration, say every fault and what is in force.
    Check(CheckArgs),
    /// Look at what is around the configuration: disk, clock, ports, certificate, store, secrets.
    Doctor(DoctorArgs),
    /// Show what a running server does: rates, times, backlog, sinks.
    Top(TopArgs),
    /// Print a script that completes this program's arguments in a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write the pages of all commands into a directory.
    Man(ManArgs),
}

impl Command {
    /// Whether it does what traces are about.
    pub(crate) fn may_trace(&self) -> bool {
        matches!(
            self,
            Command::Serve(_) | Command::Load(_) | Command::Lambda(_)
        )
    }
}

/// Where the data lies.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArgs {
    /// A directory or s3://bucket/prefix [default: ./postlake-data].
    #[arg(long, value_name = "URL")]
    pub(crate) data: Option<String>,
    /// Configuration file [default: postlake.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl From<&DataArgs> for Flags {
    fn from(arguments: &DataArgs) -> Flags {
        Flags {
            data: arguments.data.clone(),
            file: arguments.config.clone(),
            ..Flags::default()
        }
    }
}

/// A part of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Take webhooks.
    Receive,
    /// Load them into the lake and its sinks.
    Load,
    /// Serve API and page.
    Read,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// What this process does.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "receive,load,read"
    )]
    pub(crate) role: Vec<RoleName>,
    /// Address for webhooks [default: 127.0.0.1:8025].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ingest_listen: Option<SocketAddr>,
    /// Take webhooks beyond this machine although anybody can forge or read them: without
    /// credentials, or in the clear.
    #[arg(long)]
    pub(crate) dangerously_open_to_everyone: bool,
    /// Address for API and page [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) read_listen: Option<SocketAddr>,
    /// Address for metrics, health and status; loopback only [default: 127.0.0.1:8026].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Same seed, same story.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Events a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Stop after this time, as 30s or 5m; without it, until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) run_for: Option<Duration>,
    /// Keep the data here instead of in a temporary directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address for webhooks [default: 127.0.0.1:8025, or a free port].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) ingest_listen: Option<SocketAddr>,
    /// Address for API and page [default: 127.0.0.1:8080, or a free port].
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) read_listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[command(after_long_help = postlake_sparkpost::catalog::help())]
pub(crate) struct TriggerArgs {
    /// Where to send to; without a path, the webhook paths of a postlake server.
    #[arg(default_value = "http://127.0.0.1:8025")]
    pub(crate) url: String,
    /// Event types to send, comma-separated; `all` cycles through the 27 (see --help).
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) types: Vec<TypeChoice>,
    /// Send Health Score alerts instead of events.
    #[arg(long, conflicts_with_all = ["types", "bad"])]
    pub(crate) alerts: bool,
    /// Events in a batch.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
    /// Batches to send.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) batches: u32,
    /// Send each batch this many times more: same id, same bytes.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) duplicate: u32,
    /// Send something broken instead: json, envelope, utf8 or huge.
    #[arg(long, value_name = "KIND", conflicts_with = "types")]
    pub(crate) bad: Option<Bad>,
    /// Same seed, same batches [default: another one each time].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How to show who sends; the secret comes from --auth-file or from POSTLAKE_TRIGGER_SECRET.
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) auth: Option<AuthKind>,
    /// The user, the client id or the name of the header.
    #[arg(long, value_name = "NAME", requires = "auth")]
    pub(crate) auth_name: Option<String>,
    /// The file with the password, the client's secret, the header's value or the end of the path.
    #[arg(long, value_name = "FILE", requires = "auth")]
    pub(crate) auth_file: Option<PathBuf>,
    /// Where tokens are given out [default: /oauth/token of the same server].
    #[arg(long, value_name = "URL", requires = "auth")]
    pub(crate) token_url: Option<String>,
    /// Print the answers as NDJSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `trigger` shows to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthKind {
    /// User and password.
    Basic,
    /// A token, fetched with client id and secret.
    Oauth2,
    /// A secret in a header of any name.
    Header,
    /// The header of old webhooks, X-MessageSystems-Webhook-Token.
    Token,
    /// The secret at the end of the path of alerts.
    AlertPath,
}

/// A type of event or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeChoice {
    All,
    One(EventType),
}

impl std::str::FromStr for TypeChoice {
    type Err = postlake_sparkpost::UnknownType;

    fn from_str(text: &str) -> Result<TypeChoice, Self::Err> {
        if text == "all" {
            return Ok(TypeChoice::All);
        }
        text.parse().map(TypeChoice::One)
    }
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// What the objects of an import are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportKind {
    /// Batches of events, named after their batch id.
    Events,
    /// Alerts, one entry or many in an object.
    Alerts,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Run it again at any time: what was imported before is known and not read again.

Examples:
  postlake import s3://sparkpost-webhooks --data s3://postlake
  postlake import s3://hs-alerts/scores          HS-... objects are alerts, all others batches of events
  postlake import ./old --kind events")]
pub(crate) struct ImportArgs {
    /// Where the objects lie: a directory or s3://bucket/prefix; nothing there is changed.
    #[arg(value_name = "URL")]
    pub(crate) from: String,
    /// What all of them are [default: alerts if the name begins with HS-, else events].
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) kind: Option<ImportKind>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// What a function of AWS Lambda does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FunctionRole {
    /// Answer webhooks: 200 after the verified put.
    Receive,
    /// Load what the bucket's notifications speak of.
    Load,
    /// Load what is there, on a schedule.
    Maintain,
}

#[derive(Debug, Args)]
pub(crate) struct LambdaArgs {
    /// What the function does.
    #[arg(long, value_enum, hide_env_values = true, env = "POSTLAKE_ROLE")]
    pub(crate) role: FunctionRole,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DynamodbCommand {
    /// Make the table of each sink of type dynamodb, with its index and the removal of expired items; a
    /// table that is there is checked.
    CreateTable(CreateTableArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateTableArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The question; `-` reads it from stdin.
    pub(crate) sql: String,
    /// table, csv, json, ndjson or parquet [default: table on a terminal, else csv].
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ScoresArgs {
    /// table, csv, json, ndjson or parquet [default: table on a terminal, else csv].
    #[arg(short, long)]
    pub(crate) output: Option<Format>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

/// What `convert` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConvertFormat {
    Csv,
    Parquet,
    Ndjson,
}

/// What `convert` picks out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConvertTable {
    Events,
    Alerts,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// Files of SparkPost JSON, gzipped or not: webhook bodies, one or many one after the other; `-` is stdin.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What to write.
    #[arg(long, value_enum)]
    pub(crate) to: ConvertFormat,
    /// Which rows to write.
    #[arg(long, value_enum, default_value = "events")]
    pub(crate) table: ConvertTable,
    /// Where to [default: stdout].
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// A kind of authentication that `init` sets up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitAuth {
    /// User name and password.
    Basic,
    /// OAuth 2.0 client credentials, with this server's own token endpoint.
    Oauth2,
    /// A secret in a custom header.
    Header,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postlake init                                  in the current directory, basic authentication
  postlake init /etc/postlake --url https://hooks.example.com --auth oauth2")]
pub(crate) struct InitArgs {
    /// Where to write postlake.toml and the files of secrets; what is there is never overwritten.
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Which authentication the webhook gets; several, comma-separated, are all valid.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "basic")]
    pub(crate) auth: Vec<InitAuth>,
    /// The public URL of this server, for the values to enter.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// A directory or s3://bucket/prefix for the data [default: ./postlake-data].
    #[arg(long, value_name = "URL")]
    pub(crate) data: Option<String>,
    /// Write it for the unit in deploy/systemd: data in /var/lib/postlake, secrets where LoadCredential puts them.
    #[arg(long)]
    pub(crate) systemd: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postlake top                                   refreshed every second; Ctrl-C ends it
  postlake top --once                            one look, for a pipe or a ticket
  ssh -NL 8026:127.0.0.1:8026 host & postlake top")]
pub(crate) struct TopArgs {
    /// The admin listener of the server.
    #[arg(long, default_value = "http://127.0.0.1:8026")]
    pub(crate) url: String,
    /// Print one look and end, as happens when stdout is no terminal.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print one look as the JSON of /api/v1/status and end.
    #[arg(long)]
    pub(crate) json: bool,
    /// Time between two looks, as 500ms or 5s.
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postlake completions bash > ~/.local/share/bash-completion/completions/postlake
  postlake completions fish > ~/.config/fish/completions/postlake.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  postlake man | man -l -
  postlake man --dir /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write a page for every command into this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
