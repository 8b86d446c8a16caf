//! The committed fixtures are what the generator writes. To write them anew after a change of the
//! generator: `POSTLAKE_WRITE_FIXTURES=1 cargo nextest run -p postlake-sparkpost fixtures`.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::alerts::{AlertFeed, Shape};
use crate::batch::Batch;
use crate::json::Style;
use crate::traffic::Traffic;

const SEED: u64 = 20_260_915;

fn start() -> DateTime<Utc> {
    "2026-09-15T09:00:00Z".parse().unwrap()
}

fn check(name: &str, generated: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name);
    if std::env::var_os("POSTLAKE_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{name} is stale, see the comment at the top of fixtures.rs"
    );
}

/// One item a line, for readable differences; still one JSON array.
fn lines(body: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(body).unwrap();
    let text = text
        .replace("},{\"msys\"", "},\n{\"msys\"")
        .replace("},{\"alert_id\"", "},\n{\"alert_id\"");
    let inner = text.strip_prefix('[').unwrap().strip_suffix(']').unwrap();
    format!("[\n{inner}\n]\n").into_bytes()
}

fn all_types(style: Style) -> Batch {
    let mut traffic = Traffic::new(SEED, start()).all_types().with_style(style);
    traffic.set_gap(Duration::from_secs(37));
    traffic.next_batch(27)
}

#[test]
fn events_of_all_types_are_fresh() {
    let batch = all_types(Style::Current);
    check("events-all-27-types.json", &lines(&batch.body));
}

#[test]
fn events_of_the_old_style_are_fresh() {
    let batch = all_types(Style::Old);
    check("old-types.json", &lines(&batch.body));
}

#[test]
fn alerts_of_shape_a_are_fresh() {
    let post = AlertFeed::new(SEED).next_scores(start(), Shape::Capture);
    check("alerts-shape-a.json", &lines(&post.body));
}

#[test]
fn alerts_of_shape_b_are_fresh() {
    let post = AlertFeed::new(SEED).all_metrics(start(), Shape::Documented);
    check("alerts-shape-b.json", &lines(&post.body));
}

#[test]
fn the_ping_is_fresh() {
    let ping = crate::story::ping(&mut Traffic::new(SEED, start()));
    check("ping.json", &ping.body);
}
