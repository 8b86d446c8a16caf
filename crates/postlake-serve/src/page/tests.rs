use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use postlake_event::schema::Table;
use serde_json::json;
use tower::ServiceExt as _;

use super::STYLE;
use crate::fixture::{Memory, score, small_lake};
use crate::server::router;

async fn page(lake: &Arc<Memory>, path: &str) -> String {
    let request = Request::builder()
        .uri(path)
        .header(header::HOST, "localhost")
        .body(Body::empty())
        .unwrap();
    let response = router(lake.state()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn the_page_shows_what_the_lake_holds() {
    let html = page(&small_lake(), "/").await;
    for (name, value) in [
        ("batches", 2),
        ("items", 14),
        ("events", 8),
        ("alerts", 4),
        ("duplicates", 1),
        ("quarantined", 1),
        ("bounces", 4),
    ] {
        let expected = format!("data-count=\"{name}\" data-value=\"{value}\"");
        assert!(html.contains(&expected), "{expected}");
    }
    for part in [
        "data-balanced=\"true\"",
        "79.2 needs improvement",
        "whole account",
        "primary account",
        "subaccount 101",
        "data-band=\"bad\"",
        "Invalid Recipient",
        "unknown class",
        "10 s ago",
        "<meta http-equiv=\"refresh\" content=\"5\">",
        "/api/v1/health-scores.csv",
        "<tr data-hour=\"2026-03-02T08:00:00.000Z\" data-balanced=\"true\">",
        "/api/v1/ledger.csv",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("id=\"setup\""));
    let rows: Vec<_> = html
        .match_indices("<tr data-subaccount=\"")
        .take(3)
        .map(|(place, _)| html[place..].split('"').nth(1).unwrap())
        .collect();
    assert_eq!(rows, ["0", "101", "account"], "worst first");
}

#[tokio::test]
async fn an_empty_lake_shows_the_set_up() {
    let html = page(&Memory::empty(), "/").await;
    for part in [
        "id=\"setup\"",
        "http://127.0.0.1:8025/webhooks/events",
        "http://127.0.0.1:8025/webhooks/alerts",
        "curl -i http://127.0.0.1:8025/webhooks/events",
        "Nothing yet",
        "No score yet",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[tokio::test]
async fn reloading_can_be_paused() {
    let html = page(&small_lake(), "/?refresh=off").await;
    assert!(!html.contains("http-equiv"));
    assert!(html.contains("resume"));
}

#[tokio::test]
async fn text_from_outside_stays_text() {
    let naughty = "\"><img src=x onerror=alert(1)><script>alert('x')</script>\u{202e}\u{1b}[31m&";
    let lake = Memory::empty();
    lake.add(
        Table::Events,
        &[
            json!({
                "event_class": naughty, "type": "bounce", "reason": naughty, "subject": naughty,
            }),
            json!({"event_class": naughty, "type": naughty}),
        ],
    );
    let mut facet = score(Some(3), "2026-03-02T08:00:00Z", 10.0);
    for column in ["facet_name", "facet_value", "name"] {
        facet[column] = naughty.into();
    }
    lake.add(Table::Alerts, &[facet]);
    lake.add(
        Table::Quarantine,
        &[json!({"code": naughty, "source": naughty, "message": naughty, "excerpt": naughty})],
    );
    lake.add(
        Table::Batches,
        &[json!({"source": naughty, "batch_id": naughty})],
    );
    let html = page(&lake, "/").await;
    for raw in ["<img", "<script", "\u{202e}", "\u{1b}"] {
        assert!(!html.contains(raw), "{raw:?}");
    }
    assert!(html.contains("onerror"), "the text itself is shown");
    assert_eq!(
        html.matches("onerror").count(),
        html.matches("img src=x onerror").count(),
    );
    for place in html
        .match_indices("img src=x onerror")
        .map(|(place, _)| place)
    {
        assert!(html[..place].ends_with("&#60;") || html[..place].ends_with("&lt;"));
    }
}

#[tokio::test]
async fn nothing_is_fetched_from_elsewhere_and_nothing_is_inline() {
    for html in [
        page(&small_lake(), "/").await,
        page(&Memory::empty(), "/").await,
    ] {
        assert!(!html.contains("<script"));
        assert!(!html.contains(" style=\""));
        assert!(!html.contains(" onclick"));
        for attribute in ["src=\"", "href=\"", "action=\""] {
            for (place, _) in html.match_indices(attribute) {
                let target = html[place + attribute.len()..].split('"').next().unwrap();
                assert!(
                    target.starts_with('/') && !target.starts_with("//") || target.starts_with('#'),
                    "{target}"
                );
            }
        }
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}

/// The variables of the light scheme, or of the dark one with the light ones beneath.
fn colours(dark: bool) -> std::collections::HashMap<String, [f64; 3]> {
    let (light_part, dark_part) = STYLE
        .split_once("@media (prefers-color-scheme: dark)")
        .unwrap();
    let mut found = std::collections::HashMap::new();
    for part in [Some(light_part), dark.then_some(dark_part)]
        .into_iter()
        .flatten()
    {
        for line in part.lines() {
            if let Some((name, value)) = line
                .trim()
                .strip_prefix("--")
                .and_then(|it| it.split_once(": #"))
            {
                let hex = value.trim_end_matches(';');
                let channel = |at: usize| {
                    f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0
                };
                found.insert(name.to_owned(), [channel(0), channel(2), channel(4)]);
            }
        }
    }
    found
}

fn luminance(colour: [f64; 3]) -> f64 {
    let [red, green, blue] = colour.map(|channel| {
        if channel <= 0.04045 {
            channel / 12.92
        } else {
            ((channel + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[test]
fn text_keeps_its_contrast_in_both_schemes() {
    let pairs = [
        ("text", "ground"),
        ("text", "panel"),
        ("text", "sunken"),
        ("quiet", "ground"),
        ("quiet", "panel"),
        ("quiet", "sunken"),
        ("link", "ground"),
        ("link", "panel"),
        ("link", "sunken"),
        ("good", "panel"),
        ("good", "good-soft"),
        ("warn", "panel"),
        ("warn", "warn-soft"),
        ("bad", "panel"),
        ("bad", "bad-soft"),
    ];
    for dark in [false, true] {
        let colours = colours(dark);
        for (text, ground) in pairs {
            let (first, second) = (luminance(colours[text]), luminance(colours[ground]));
            let contrast = (first.max(second) + 0.05) / (first.min(second) + 0.05);
            assert!(
                contrast >= 4.5,
                "{text} on {ground}, dark {dark}: {contrast:.2}"
            );
        }
    }
}
