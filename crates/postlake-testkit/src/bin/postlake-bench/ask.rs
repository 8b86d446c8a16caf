//! Questions to a server over a lake that is there: the page, and SQL over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use postlake_testkit::{Server, http};
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;

/// Whoever has the most events.
const RECIPIENT: &str = "SELECT rcpt_to FROM events WHERE rcpt_to IS NOT NULL GROUP BY rcpt_to ORDER BY count(*) DESC, rcpt_to LIMIT 1";

/// Starts `--program` over `--data`, gets the page once, which nobody has asked for before, and asks each of
/// `--questions` once and then `--rounds` times.
pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let (program, data): (PathBuf, PathBuf) =
        (arguments.required("program")?, arguments.required("data")?);
    let questions: PathBuf = arguments.required("questions")?;
    let rounds: usize = arguments.or("rounds", 5)?;
    let questions = std::fs::read(&questions).context("read the questions")?;
    let questions: Vec<Value> =
        serde_json::from_slice(&questions).context("understand the questions")?;
    let mut command = Command::new(program);
    command.args([
        "serve",
        "--role",
        "receive,read",
        "--ingest-listen",
        "127.0.0.1:0",
    ]);
    command
        .args(["--read-listen", "127.0.0.1:0"])
        .arg("--data")
        .arg(data);
    command.env("POSTLAKE_ADMIN__LISTEN", "127.0.0.1:0");
    let server = Server::start(&mut command);
    let read = server.read();
    let started = Instant::now();
    let page = http::get(read, "/").context("get the page")?;
    let first_page_ms = millis(started);
    ensure!(page.status == 200, "the page is answered {}", page.status);
    let (_, answer) = ask(read, RECIPIENT)?;
    let recipient = answer.pointer("/rows/0/0").and_then(Value::as_str);
    let recipient = recipient.context("there is no recipient")?.to_owned();
    let mut taken = Map::new();
    for question in &questions {
        let text = |key: &str| {
            question
                .get(key)
                .and_then(Value::as_str)
                .context("a question lacks a part")
        };
        let sql = text("sql")?.replace("{recipient}", &recipient.replace('\'', "''"));
        let (_, answer) = ask(read, &sql)?;
        let mut ms = Vec::new();
        for _ in 0..rounds {
            ms.push(ask(read, &sql)?.0);
        }
        taken.insert(
            text("name")?.to_owned(),
            json!({ "ms": ms, "rows": answer.get("row_count") }),
        );
    }
    server.stop();
    Ok(json!({ "first_page_ms": first_page_ms, "recipient": recipient, "questions": taken }))
}

fn ask(read: SocketAddr, sql: &str) -> Result<(f64, Value)> {
    let body = json!({ "sql": sql }).to_string();
    let headers = [("content-type", "application/json")];
    let started = Instant::now();
    let answer = http::exchange(read, "POST", "/api/v1/query", &headers, body.as_bytes());
    let answer = answer.context("ask")?;
    ensure!(answer.status == 200, "{sql}: {}", answer.text());
    Ok((millis(started), answer.json()))
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
