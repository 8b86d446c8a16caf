//! The page in a real browser: it shows what the lake holds, alone, at any width, without scripts.

use std::collections::BTreeMap;
use std::fs;

use postlake_testkit::{Place, peers};
use serde::Deserialize;

use crate::open_lake::script;
use crate::{PROGRAM, traffic};

/// What the script saw of one view.
#[derive(Debug, Deserialize)]
struct View {
    status: u16,
    title: String,
    counts: BTreeMap<String, String>,
    subjects: Vec<String>,
    scores: Vec<f64>,
    balanced: String,
    visible: bool,
    scroll_width: u32,
    width: u32,
    complaints: Vec<String>,
    requests: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Latest {
    subaccount_id: Option<i64>,
    score: f64,
}

#[test]
fn the_page_shows_what_the_lake_holds() {
    let Some(browser) = peers::browser() else {
        return;
    };
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    let ledger = traffic::post(&server, 11, 60);
    server.wait_loaded(ledger.answers());
    let url = format!("http://{}/", server.read());
    let pictures = place.home().join("pictures");
    fs::create_dir(&pictures).unwrap();
    let seen = browser.run(&script("page.cjs"), &[&url, pictures.to_str().unwrap()]);
    let views: BTreeMap<String, View> = serde_json::from_value(seen).unwrap();
    assert_eq!(views.len(), 3);

    let counts = [
        ("batches", "SELECT count(*) FROM batches"),
        ("items", "SELECT sum(items) FROM batches"),
        ("events", "SELECT count(*) FROM events"),
        ("alerts", "SELECT count(*) FROM alerts"),
        ("duplicates", "SELECT sum(duplicates) FROM batches"),
        ("quarantined", "SELECT count(*) FROM quarantine"),
        (
            "bounces",
            "SELECT count(*) FROM events WHERE type IN ('bounce', 'out_of_band')",
        ),
    ]
    .map(|(name, sql)| (name.to_owned(), place.number(sql).to_string()));
    let latest: Vec<Latest> =
        place.query("SELECT subaccount_id, score FROM latest_health_scores ORDER BY score");
    let subjects: Vec<String> = latest
        .iter()
        .map(|row| {
            row.subaccount_id
                .map_or("account".to_owned(), |id| id.to_string())
        })
        .collect();
    for (name, view) in &views {
        check(name, view, &url);
        assert_eq!(view.counts, BTreeMap::from(counts.clone()), "{name}");
        assert_eq!(view.subjects, subjects, "{name}");
        for (shown, latest) in view.scores.iter().zip(&latest) {
            // Cut, not rounded: no score may look as if it were in a better band.
            let cut = ((latest.score * 1000.0).round() / 100.0).floor() / 10.0;
            assert_eq!(*shown, cut, "{name}");
        }
        let picture = fs::read(pictures.join(format!("{name}.png"))).unwrap();
        assert!(picture.starts_with(b"\x89PNG"), "{name}");
    }
    server.stop();
}

#[track_caller]
fn check(name: &str, view: &View, url: &str) {
    assert_eq!(view.status, 200, "{name}");
    assert!(view.title.starts_with("postlake"), "{name}: {}", view.title);
    assert!(view.visible, "{name}");
    assert_eq!(view.balanced, "true", "{name}");
    assert_eq!(view.complaints, [""; 0], "{name}");
    let elsewhere: Vec<_> = view
        .requests
        .iter()
        .filter(|to| !to.starts_with(url))
        .collect();
    assert!(elsewhere.is_empty(), "{name}: {elsewhere:?}");
    assert!(
        view.scroll_width <= view.width,
        "{name}: {} px wide",
        view.scroll_width
    );
    assert!(!view.scores.is_empty(), "{name}");
}
