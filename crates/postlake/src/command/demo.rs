//! `postlake demo`: a server on a temporary directory, and SparkPost played against it over HTTP.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use postlake_serve::summary::{Summary, summary};
use postlake_serve::{SqlEngine, scores};
use postlake_sparkpost::{Ledger, RetryPolicy, SendError, Sender, StepKind, Story};
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::banner::Listeners;
use crate::cli::{DemoArgs, RoleName};
use crate::command::output::{print, say, sql_failure};
use crate::config::{AuthKeys, Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::role::server::{LastLoad, Server};
use crate::sockets::Sockets;
use crate::{shutdown, wire};

/// The demo ends when everything is loaded, however slow the machine.
const LAST_LOAD: Duration = Duration::from_secs(60);

const ALL_ROLES: [RoleName; 3] = [RoleName::Receive, RoleName::Load, RoleName::Read];

pub(crate) async fn run(arguments: DemoArgs) -> Result<ExitCode, Failure> {
    let place = Place::new(&arguments)?;
    let settings = settings(&arguments, &place)?;
    let before = books_before(&settings).await?;
    let stop = shutdown::on_signal()?;
    let server = Server::start(&settings, &ALL_ROLES, &Sockets::none()).await?;
    introduce(&arguments, &settings, server.listeners, &place);
    let ended = stop.child_token();
    let told = tell(&arguments, server.listeners, ended.clone());
    let told = tokio::select! {
        told = told => told,
        death = server.died() => Err(death),
    };
    say("stopping: what was received is loaded");
    let drained = server.drain(LastLoad::Within(LAST_LOAD)).await;
    let ledger = told?;
    let engine = wire::local_engine(&settings.data)?;
    let verdict = conclude(&engine, &ledger, &before, drained.loaded).await?;
    place.farewell();
    Ok(verdict)
}

/// Where the demo's data lies.
enum Place {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Place {
    fn new(arguments: &DemoArgs) -> Result<Place, Failure> {
        match &arguments.data {
            Some(directory) => Ok(Place::Kept(directory.clone())),
            None => TempDir::with_prefix("postlake-demo-")
                .map(Place::Temporary)
                .map_err(|source| {
                    Failure::caused(Exit::CannotCreate, "make a temporary directory", source)
                }),
        }
    }

    fn text(&self) -> String {
        match self {
            Place::Temporary(directory) => directory.path().display().to_string(),
            Place::Kept(directory) => directory.display().to_string(),
        }
    }

    fn farewell(self) {
        match self {
            Place::Temporary(directory) => {
                if let Err(error) = directory.close() {
                    say(&format!(
                        "the temporary directory could not be removed: {error}"
                    ));
                }
            }
            Place::Kept(directory) => {
                say(&format!("the data stays in {}", directory.display()));
            }
        }
    }
}

fn settings(arguments: &DemoArgs, place: &Place) -> Result<Settings, Failure> {
    let flags = Flags {
        data: Some(place.text()),
        ingest_listen: Some(listen(arguments.ingest_listen, 8025)?),
        read_listen: Some(listen(arguments.read_listen, 8080)?),
        admin_listen: Some(listen(None, 8026)?),
        // A demo is for this machine alone and takes what it sends itself.
        ..Flags::default()
    };
    let mut settings = Settings::read(&flags)?;
    settings.auth = AuthKeys::default();
    settings.trusted_proxies = Vec::new();
    Ok(settings)
}

/// The address asked for, else the usual port if it is free, else any.
fn listen(asked: Option<SocketAddr>, port: u16) -> Result<SocketAddr, Failure> {
    if let Some(address) = asked {
        return Ok(address);
    }
    let usual = SocketAddr::from(([127, 0, 0, 1], port));
    match TcpListener::bind(usual) {
        Ok(_) => Ok(usual),
        Err(_) => Ok(SocketAddr::from(([127, 0, 0, 1], 0))),
    }
}

fn introduce(arguments: &DemoArgs, settings: &Settings, listeners: Listeners, place: &Place) {
    let read = listeners
        .read
        .map(|address| address.to_string())
        .unwrap_or_default();
    let ingest = listeners
        .ingest
        .map(|address| address.to_string())
        .unwrap_or_default();
    let data = &settings.data;
    say(&format!(
        "postlake demo: SparkPost is played against a real server, seed {}, {} events a second",
        arguments.seed, arguments.rate
    ));
    say(&format!("  page       http://{read}/"));
    say(&format!("  api        http://{read}/api/v1/summary"));
    say(&format!(
        "  webhooks   http://{ingest}/webhooks/events  (made-up data, not protected, this machine only)"
    ));
    say(&format!("  data       {data}"));
    let program = program();
    say("look at, while it runs:");
    say(&format!(
        "  {program} scores --data {data}                 one subaccount has fallen to bad"
    ));
    say(&format!(
        "  {program} query --data {data} \"SELECT reason, count(*) FROM events WHERE type = 'bounce' GROUP BY 1 ORDER BY 2 DESC LIMIT 5\""
    ));
    say(&format!(
        "  {program} query --data {data} \"SELECT * FROM quarantine\"    what could not be decoded, and why"
    ));
    if matches!(place, Place::Temporary(_)) {
        say("  (the data goes when the demo ends; keep it with --data DIR)");
    }
    match arguments.run_for {
        Some(time) => say(&format!("it stops by itself after {} s", time.as_secs())),
        None => say("Ctrl-C stops it"),
    }
}

/// How this program was called, so that the lines above can be typed as they stand.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "postlake".to_owned())
}

/// Plays the story until its time is over; the ledger holds what was answered 200.
async fn tell(
    arguments: &DemoArgs,
    listeners: Listeners,
    stop: CancellationToken,
) -> Result<Ledger, Failure> {
    let Some(address) = listeners.ingest else {
        return Err(Failure::new(
            Exit::Failure,
            "the demo has no ingest listener",
        ));
    };
    let sender = Sender::new(&format!("http://{address}"))
        .map_err(|source| Failure::caused(Exit::Failure, "play the sender", source))?;
    let started = Instant::now();
    let end = arguments.run_for.map(|time| started + time);
    let story = Story::new(arguments.seed, arguments.rate, wire::clock().now());
    let mut ledger = Ledger::default();
    let mut due = started;
    let mut last = None;
    for step in story {
        due += step.after;
        let over = end.is_some_and(|end| due >= end);
        tokio::select! {
            () = sleep_until(end.map_or(due, |end| due.min(end))) => {}
            () = stop.cancelled() => break,
        }
        if over || stop.is_cancelled() {
            break;
        }
        mention(&step.what, &mut last, started.elapsed());
        match sender.post_until_accepted(&step.request, patience()).await {
            Ok(_) => ledger.record(&step),
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(ledger)
}

/// SparkPost tries again for hours; a demo has less patience.
fn patience() -> RetryPolicy {
    RetryPolicy {
        attempts: 12,
        first_gap: Duration::from_millis(250),
        longest_gap: Duration::from_secs(4),
    }
}

fn refused(error: SendError) -> Failure {
    Failure::caused(Exit::Unavailable, "post to the demo's own server", error)
}

/// Says what the story turns to, once for each turn.
fn mention(what: &StepKind, last: &mut Option<StepKind>, elapsed: Duration) {
    if last.as_ref() != Some(what) {
        say(&format!("{:>6.1} s  {what}", elapsed.as_secs_f64()));
        *last = Some(*what);
    }
}

/// What a kept directory held before: the demo's ledger counts from there.
async fn books_before(settings: &Settings) -> Result<Option<Summary>, Failure> {
    match wire::local_engine(&settings.data) {
        Ok(engine) => summary(&engine).await.map(Some).map_err(sql_failure),
        Err(_) => Ok(None),
    }
}

/// Holds the lake against the ledger and says the result.
async fn conclude(
    engine: &SqlEngine,
    ledger: &Ledger,
    before: &Option<Summary>,
    complete: bool,
) -> Result<ExitCode, Failure> {
    let lake = summary(engine).await.map_err(sql_failure)?;
    let worst = scores::latest(engine).await.map_err(sql_failure)?;
    let count = |field: fn(&Summary) -> i64| {
        let new = field(&lake) - before.as_ref().map_or(0, field);
        u64::try_from(new).unwrap_or(0)
    };
    let mut rows = vec![
        ("batches", ledger.posts, count(|lake| lake.totals.batches)),
        ("items", ledger.items, count(|lake| lake.totals.items)),
        ("events", ledger.events, count(|lake| lake.totals.events)),
        (
            "quarantined",
            ledger.rejects,
            count(|lake| lake.totals.rejects),
        ),
    ];
    if before
        .as_ref()
        .is_some_and(|before| before.totals.alerts > 0)
    {
        // The directory may hold the same days of scores from an earlier demo: what is an alert for
        // the sender is a duplicate there.
        let sent = ledger.alerts + ledger.duplicates;
        let found = count(|lake| lake.totals.alerts + lake.totals.duplicates);
        rows.push(("alerts and duplicates", sent, found));
    } else {
        rows.push(("alerts", ledger.alerts, count(|lake| lake.totals.alerts)));
        let found = count(|lake| lake.totals.duplicates);
        rows.push(("duplicates", ledger.duplicates, found));
    }
    print("                       sent and answered 200   in the lake")?;
    for (name, sent, found) in &rows {
        let mark = if sent == found { "" } else { "   DIFFERS" };
        print(&format!("{name:<21}  {sent:>21}  {found:>12}{mark}"))?;
    }
    if let Some(row) = worst.first() {
        print(&format!(
            "worst Health Score: {} with {}, {}",
            row.subject,
            scores::shown(row.score),
            row.verdict
        ))?;
    }
    let equal = rows.iter().all(|(_, sent, found)| sent == found);
    if equal && lake.books.balanced && complete {
        print(
            "the books balance: items = events + alerts + duplicates + quarantined, and every row is in its table once",
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let message = if complete {
        "the books do not balance"
    } else {
        "not everything was loaded in time"
    };
    Err(Failure::new(Exit::Data, message))
}
