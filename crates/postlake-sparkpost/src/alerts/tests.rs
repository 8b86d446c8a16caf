use std::collections::HashSet;

use serde_json::Value;

use super::*;
use crate::loader_rules;

fn now() -> DateTime<Utc> {
    "2026-09-15T12:00:00Z".parse().unwrap()
}

fn objects(post: &AlertPost) -> Vec<Value> {
    let objects: Vec<Value> = serde_json::from_slice(&post.body).unwrap();
    assert_eq!(objects.len(), post.alerts);
    objects
}

fn score_of(post: &AlertPost, filters: &Value) -> f64 {
    let objects = objects(post);
    let object = objects
        .iter()
        .find(|object| object["filters"] == *filters)
        .unwrap();
    object["triggered_value"].as_f64().unwrap()
}

#[test]
fn a_day_reports_the_account_the_primary_and_nine_subaccounts() {
    let post = AlertFeed::new(1).next_scores(now(), Shape::Capture);
    let objects = objects(&post);
    assert_eq!(objects.len(), 11);
    assert_eq!(objects[0]["filters"], serde_json::json!({}));
    assert_eq!(
        objects[1]["filters"],
        serde_json::json!({"subaccount_id": 0})
    );
    assert_eq!(
        objects[10]["filters"],
        serde_json::json!({"subaccount_id": 109})
    );
    for object in &objects {
        let names: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 7, "{names:?}");
        assert!(object["evaluator"]["value"].is_u64());
        assert_eq!(object["triggered_at"], "2026-09-15T12:00:00.000Z");
    }
}

#[test]
fn the_documented_shape_has_incidents() {
    let mut feed = AlertFeed::new(1);
    let mut incidents = HashSet::new();
    for _ in 0..3 {
        for object in objects(&feed.next_scores(now(), Shape::Documented)) {
            assert!(object.get("evaluator").is_none());
            assert_eq!(object["threshold_evaluator"]["operator"], "gt");
            assert!(incidents.insert(object["incident_id"].as_u64().unwrap()));
        }
    }
    assert_eq!(incidents.len(), 33);
}

#[test]
fn thirty_days_end_before_now_and_one_subaccount_falls() {
    for seed in 0..50 {
        let posts = AlertFeed::new(seed).history(30, now());
        assert_eq!(posts.len(), 30);
        for pair in posts.windows(2) {
            let apart = (pair[1].triggered_at - pair[0].triggered_at).num_minutes();
            assert!((1_437..=1_443).contains(&apart), "{apart}");
        }
        let last = posts[29].triggered_at;
        assert!(last <= now() && last > now() - TimeDelta::days(1));
        assert!(["08:30", "08:31"].contains(&last.format("%H:%M").to_string().as_str()));

        let storm = serde_json::json!({"subaccount_id": STORM_SUBACCOUNT});
        for post in &posts[..24] {
            assert!(score_of(post, &storm) >= 80.0, "seed {seed}");
        }
        for post in &posts[24..] {
            assert!(score_of(post, &storm) < 82.0, "seed {seed}");
        }
        assert!(score_of(&posts[29], &storm) < 55.0, "seed {seed}");
        assert!(score_of(&posts[28], &storm) > score_of(&posts[29], &storm));
        assert!(score_of(&posts[29], &serde_json::json!({"subaccount_id": 103})) > 80.0);
    }
}

#[test]
fn before_half_past_eight_the_last_score_is_of_yesterday() {
    let early: DateTime<Utc> = "2026-09-15T08:31:00Z".parse().unwrap();
    let posts = AlertFeed::new(1).history(2, early);
    assert_eq!(posts[1].triggered_at.date_naive().to_string(), "2026-09-14");
}

#[test]
fn scores_carry_the_noise_of_binary_arithmetic() {
    let mut feed = AlertFeed::new(2);
    let noisy = (0..30)
        .flat_map(|_| objects(&feed.next_scores(now(), Shape::Capture)))
        .filter(|object| object["triggered_value"].to_string().len() > 14)
        .count();
    assert!(noisy > 20, "{noisy}");
}

#[test]
fn every_metric_and_facet_occurs() {
    let post = AlertFeed::new(3).all_metrics(now(), Shape::Capture);
    let counted = loader_rules::count(&post.body);
    assert_eq!((counted.alerts.len(), counted.rejects), (8, 0));
    let metrics: HashSet<String> = objects(&post)
        .iter()
        .map(|object| object["metric"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(metrics.len(), 7);
}

#[test]
fn the_score_that_fell_is_bad() {
    let mut feed = AlertFeed::new(4);
    let post = feed.score_fell(107, now());
    let score = score_of(&post, &serde_json::json!({"subaccount_id": 107}));
    assert!(score < 55.0);
    assert_eq!(objects(&feed.blocks_rose(107, now())).len(), 2);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let bodies = |seed| -> Vec<Bytes> {
        let posts = AlertFeed::new(seed).history(30, now());
        posts.into_iter().map(|post| post.body).collect()
    };
    assert_eq!(bodies(9), bodies(9));
    assert_ne!(bodies(9), bodies(10));
}
