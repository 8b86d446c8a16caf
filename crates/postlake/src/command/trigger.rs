//! `postlake trigger`: realistic batches or alerts, with the answer and its latency.

mod credential;

use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use postlake_sparkpost::{AlertFeed, Answer, Batch, Request, SendError, Sender, Shape, Traffic};
use serde_json::json;

use crate::cli::{TriggerArgs, TypeChoice};
use crate::command::output::{print, say};
use crate::exit::{Exit, Failure};
use crate::wire;

pub(crate) async fn run(arguments: TriggerArgs) -> Result<ExitCode, Failure> {
    let sender = Sender::new(&arguments.url)
        .map_err(|source| Failure::caused(Exit::Data, "read the URL", source))?;
    let sender = match arguments.auth {
        Some(kind) => credential::with(sender, kind, &arguments)?,
        None => sender,
    };
    let now = wire::clock().now();
    let mut made = Made::new(&arguments, now);
    let mut tally = Tally::default();
    for _ in 0..arguments.batches {
        let (request, label) = made.next(&arguments);
        for attempt in 0..=arguments.duplicate {
            let answer = sender.post(&request).await;
            let label = if attempt == 0 {
                label.clone()
            } else {
                format!("{label}, again")
            };
            tally.tell(&arguments, &label, &request, answer)?;
        }
    }
    say(&format!(
        "{} posts, {} answered 200, slowest {:.1} ms",
        tally.posts,
        tally.accepted,
        tally.slowest.as_secs_f64() * 1e3
    ));
    if tally.accepted == tally.posts {
        return Ok(ExitCode::SUCCESS);
    }
    let hint = match tally.unauthorized && arguments.auth.is_none() {
        true => "; it asks who you are: say so with --auth",
        false => "",
    };
    let message = format!(
        "{} of {} posts were not answered 200{hint}",
        tally.posts - tally.accepted,
        tally.posts
    );
    Err(Failure::new(Exit::Unavailable, message))
}

/// Where the requests come from.
struct Made {
    traffic: Traffic,
    alerts: AlertFeed,
    now: DateTime<Utc>,
}

impl Made {
    fn new(arguments: &TriggerArgs, now: DateTime<Utc>) -> Made {
        let seed = arguments
            .seed
            .unwrap_or_else(|| now.timestamp_micros().unsigned_abs());
        let mut traffic = Traffic::new(seed, now);
        let types: Vec<_> = arguments
            .types
            .iter()
            .filter_map(|choice| match choice {
                TypeChoice::All => None,
                TypeChoice::One(event_type) => Some(*event_type),
            })
            .collect();
        if arguments.types.contains(&TypeChoice::All) {
            traffic = traffic.all_types();
        } else if !types.is_empty() {
            traffic = traffic.only(&types);
        }
        Made {
            traffic,
            alerts: AlertFeed::new(seed),
            now,
        }
    }

    fn next(&mut self, arguments: &TriggerArgs) -> (Request, String) {
        if arguments.alerts {
            let post = self.alerts.next_scores(self.now, Shape::Capture);
            self.now += chrono::TimeDelta::days(1);
            return (Request::alerts(&post), format!("{} alerts", post.alerts));
        }
        let batch = match arguments.bad {
            Some(bad) => bad.batch(&mut self.traffic),
            None => self.traffic.next_batch(arguments.count as usize),
        };
        let label = label(&batch, arguments);
        (Request::events(&batch), label)
    }
}

fn label(batch: &Batch, arguments: &TriggerArgs) -> String {
    match arguments.bad {
        Some(bad) => format!("broken body ({bad}), batch {}", batch.id),
        None => format!("{} events, batch {}", batch.events, batch.id),
    }
}

#[derive(Default)]
struct Tally {
    posts: u64,
    accepted: u64,
    slowest: Duration,
    unauthorized: bool,
}

impl Tally {
    fn tell(
        &mut self,
        arguments: &TriggerArgs,
        label: &str,
        request: &Request,
        answer: Result<Answer, SendError>,
    ) -> Result<(), Failure> {
        self.posts += 1;
        let answer = answer.map_err(|source| {
            let doing = format!("post to {}", arguments.url);
            Failure::caused(Exit::Unavailable, doing, source)
        })?;
        self.accepted += u64::from(answer.is_accepted());
        self.unauthorized |= answer.status == 401;
        self.slowest = self.slowest.max(answer.latency);
        let latency_ms = answer.latency.as_secs_f64() * 1e3;
        let bytes = request.body.len();
        if arguments.json {
            let line = json!({
                "what": label,
                "path": request.path,
                "bytes": bytes,
                "status": answer.status,
                "latency_ms": (latency_ms * 1e3).round() / 1e3,
                "answer": answer.excerpt,
            });
            return print(&line.to_string());
        }
        print(&format!(
            "{} {} {latency_ms:.1} ms  {label}, {bytes} bytes",
            answer.status,
            answer.excerpt.trim()
        ))
    }
}
