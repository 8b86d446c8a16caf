//! F7: an S3 server that fails in every way that it knows, under the whole program.

use std::thread;
use std::time::{Duration, Instant};

use postlake_testkit::faulty_s3::{CredentialFault, Delay, Faults, FaultyS3, Stall};
use postlake_testkit::{ClientLedger, Place};
use serde_json::json;

use crate::load::{Answers, Clients};
use crate::rig::{LEDGER, Rig};
use crate::row::Row;

const WRITERS: u64 = 10;
/// Scenarios at a time: they wait more than they work.
const AT_A_TIME: usize = 4;

/// The fault is lifted after this, whatever has been posted.
const LONGEST: Duration = Duration::from_secs(120);

/// Longest wait for an answer: the sender gives up after it.
const ANSWER: Duration = Duration::from_secs(10);

/// How long it may take to accept again after a fault that has passed.
const BACK: Duration = Duration::from_secs(30);

/// Posts of each writer over a line that takes seconds for one.
const POSTS_OVER_A_THIN_LINE: u64 = 3;

struct Scenario {
    name: &'static str,
    faults: Faults,
    /// Nothing can be stored meanwhile.
    hopeless: bool,
    /// Something must be stored meanwhile.
    hopeful: bool,
    /// Puts are stored and not answered, so that what they hold may land again.
    keeps_unanswered: bool,
}

fn scenario(name: &'static str, faults: Faults) -> Scenario {
    let keeps_unanswered = faults.lost_answer > 0.0
        || faults.reset > 0.0
        || faults.stall.is_some()
        || faults.delay.is_some()
        || faults.bytes_per_sec.is_some();
    Scenario {
        name,
        keeps_unanswered,
        faults,
        hopeless: false,
        hopeful: true,
    }
}

fn hopeless(name: &'static str, faults: Faults) -> Scenario {
    Scenario {
        hopeless: true,
        hopeful: false,
        ..scenario(name, faults)
    }
}

fn credentials(fault: CredentialFault) -> Faults {
    Faults {
        credentials: Some(fault),
        ..Faults::default()
    }
}

fn scenarios() -> Vec<Scenario> {
    let mut all = slow();
    all.extend(failing());
    all.extend([
        hopeless(
            "credentials expired, as S3 says it",
            credentials(CredentialFault::Expired),
        ),
        hopeless(
            "credentials expired, as others say it",
            credentials(CredentialFault::ExpiredForbidden),
        ),
        hopeless(
            "the clock is wrong",
            credentials(CredentialFault::ClockSkew),
        ),
        hopeless("no answer at all", Faults::silent()),
    ]);
    all
}

fn slow() -> Vec<Scenario> {
    let none = Faults::default;
    let delay = Some(Delay {
        mean: Duration::from_millis(1000),
        spread: Duration::from_millis(999),
    });
    let stall = Some(Stall {
        share: 0.35,
        time: Duration::from_secs(3),
    });
    let thin = Faults {
        bytes_per_sec: Some(1000),
        ..none()
    };
    vec![
        scenario("answers after 1 ms to 2 s", Faults { delay, ..none() }),
        scenario("35 % of answers after 3 s", Faults { stall, ..none() }),
        scenario(
            "30 % of connections closed late",
            Faults {
                slow_close: 0.3,
                ..none()
            },
        ),
        Scenario {
            hopeful: false,
            ..scenario("1,000 bytes a second", thin)
        },
    ]
}

fn failing() -> Vec<Scenario> {
    let none = Faults::default;
    vec![
        scenario(
            "503 to three of four",
            Faults {
                unavailable: 0.75,
                ..none()
            },
        ),
        scenario(
            "429 to three of four",
            Faults {
                throttled: 0.75,
                ..none()
            },
        ),
        scenario(
            "15 % of connections reset",
            Faults {
                reset: 0.15,
                ..none()
            },
        ),
        scenario(
            "stored, and the answer lost",
            Faults {
                lost_answer: 0.3,
                ..none()
            },
        ),
        scenario(
            "409 on create, and nothing there",
            Faults {
                conflict_on_create: 0.3,
                ..none()
            },
        ),
        scenario(
            "half of the reads broken off",
            Faults {
                truncated_get: 0.5,
                ..none()
            },
        ),
        scenario(
            "answers lost, reads broken off, listings without the newest",
            Faults {
                lost_answer: 0.3,
                truncated_get: 0.5,
                stale_listing: true,
                ..none()
            },
        ),
        scenario(
            "listings without the newest",
            Faults {
                stale_listing: true,
                ..none()
            },
        ),
    ]
}

/// What came of one of them.
struct Played {
    name: &'static str,
    place: Place,
    ledger: ClientLedger,
    answers: Answers,
    accepted_under_fault: u64,
    faulty_requests: u64,
    broken: Vec<String>,
    _server: FaultyS3,
}

/// Writers post while the store fails, and the loader loads from it. Then the fault is lifted, the server
/// that nobody has touched accepts again, is killed, and everything is loaded and judged.
pub(crate) fn faults(rig: &Rig, row: &mut Row) {
    let all = scenarios();
    let mut scores = Vec::new();
    for some in all.chunks(AT_A_TIME) {
        let played: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|scenario| (scenario.name, scope.spawn(|| play(rig, scenario))))
                .collect();
            let joined = running
                .into_iter()
                .map(|(name, worker)| (name, worker.join()));
            joined.collect()
        });
        for (name, played) in played {
            row.part(name, |row| match played {
                Ok(played) => scores.push(settle(row, &played)),
                Err(panic) => std::panic::resume_unwind(panic),
            });
        }
    }
    row.note("scenarios", all.len());
    row.note("by_scenario", scores);
}

fn play(rig: &Rig, scenario: &Scenario) -> Played {
    let server = FaultyS3::start(rig.seed());
    let place = Place::on_faulty_s3(rig.program(), &server);
    let ledger = ClientLedger::kept_in(&place.home().join(LEDGER));
    if scenario.keeps_unanswered {
        ledger.landings_repeat();
    }
    let clients = Clients::new(rig.seed(), WRITERS, &ledger);
    let mut serve = place.command_here(&["serve", "--role", "receive,load"]);
    serve
        .args(["--ingest-listen", "127.0.0.1:0"])
        .env("POSTLAKE_LOAD__INTERVAL", "1s");
    let program = postlake_testkit::Server::start(&mut serve);
    let before = server.counts();
    server.set(scenario.faults.clone());
    let posts = match scenario.faults.bytes_per_sec {
        Some(_) => POSTS_OVER_A_THIN_LINE.min(rig.wanted.s3_batches),
        None => rig.wanted.s3_batches,
    };
    let mut answers = clients.each_posts(program.ingest(), posts, LONGEST);
    let accepted_under_fault = answers.count(200);
    let after = server.counts();
    server.set(Faults::default());
    let lifted = Instant::now();
    let back = clients.accepted_within(program.ingest(), BACK);
    answers.add(&clients.each_posts(program.ingest(), 2, BACK));
    let mut broken = Vec::new();
    let mut expect = |kept: bool, what: String| {
        if !kept {
            broken.push(what);
        }
    };
    expect(back, "it does not accept again".to_owned());
    expect(
        answers.as_promised(),
        "an answer is neither 200 nor 503".to_owned(),
    );
    expect(
        answers.count(0) == 0,
        format!("{} requests without an answer", answers.count(0)),
    );
    expect(
        answers.slowest() < ANSWER,
        format!("an answer took {:?}", answers.slowest()),
    );
    let (some, none) = (scenario.hopeful, scenario.hopeless);
    expect(
        !some || accepted_under_fault > 0,
        "nothing was accepted".to_owned(),
    );
    expect(
        !none || accepted_under_fault == 0,
        "accepted and not stored".to_owned(),
    );
    eprintln!(
        "F7 {}: {accepted_under_fault} accepted under it, again after {:?}",
        scenario.name,
        lifted.elapsed()
    );
    program.kill();
    let waits = scenario.faults.delay.is_some()
        || scenario.faults.stall.is_some()
        || scenario.faults.bytes_per_sec.is_some()
        || scenario.faults.slow_close > 0.0
        || scenario.faults.stale_listing;
    let requests = after.requests - before.requests;
    Played {
        name: scenario.name,
        accepted_under_fault,
        faulty_requests: if waits {
            requests
        } else {
            after.failed - before.failed
        },
        place,
        ledger,
        answers,
        broken,
        _server: server,
    }
}

fn settle(row: &mut Row, played: &Played) -> serde_json::Value {
    for what in &played.broken {
        row.fail(played.name, what);
    }
    row.met += played.faulty_requests;
    row.answered(&played.answers);
    row.judge(played.name, &played.place, &played.ledger);
    json!({
        "scenario": played.name,
        "faulty_requests": played.faulty_requests,
        "accepted_under_fault": played.accepted_under_fault,
        "refused": played.answers.count(503),
        "slowest_seconds": played.answers.slowest().as_secs_f64(),
    })
}
