use std::time::Duration;

use chrono::TimeZone as _;
use postlake_raw::clock::ManualClock;
use tracing::field::Empty;
use tracing::{Level, info_span};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::config::Sampler;

/// The spans that `work` makes, in the order of their ends.
fn spans_of(room: usize, ratio: f64, work: impl FnOnce()) -> Vec<Span> {
    let at = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
    let (queue, mut spans) = mpsc::channel(room);
    let sampler = Sampler {
        by_parent: true,
        ratio,
    };
    let clock = Arc::new(ManualClock::new(at));
    let collect = Collect::new(queue, clock, Sampling::new(sampler, true));
    let ours = Targets::new().with_target("postlake", Level::INFO);
    let subscriber = tracing_subscriber::registry().with(collect.with_filter(ours));
    tracing::subscriber::with_default(subscriber, work);
    std::iter::from_fn(|| spans.try_recv().ok()).collect()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn the_list_of_attributes_is_in_order() {
    assert!(ATTRIBUTES.is_sorted());
}

#[test]
fn what_is_inside_a_span_is_below_it_and_only_what_is_on_the_list_leaves() {
    let spans = spans_of(8, 1.0, || {
        let outer = info_span!(
            "request",
            otel.name = "POST /x",
            otel.kind = "server",
            http.response.status_code = Empty,
            error.type = Empty,
            batch.id = "canary",
        );
        outer.in_scope(|| {
            let key = "k".repeat(1000);
            let inner = info_span!("put", postlake.segment.key = %key, path = "canary", postlake.rows = 3_u64);
            inner.in_scope(|| ());
            let library = info_span!(target: "datafusion", "plan", postlake.rows = 3);
            library.in_scope(|| ());
        });
        outer.record("http.response.status_code", 503_u16);
        outer.record("error.type", "503");
    });
    let [put, request] = spans.as_slice() else {
        panic!("{spans:?}")
    };
    assert_eq!(
        (request.name.as_str(), request.kind),
        ("POST /x", Kind::Server)
    );
    assert_eq!((put.name.as_str(), put.kind), ("put", Kind::Internal));
    assert_eq!(put.context.trace, request.context.trace);
    assert_eq!(
        (put.parent, request.parent),
        (Some(request.context.span), None)
    );
    assert!(put.context.trace != 0 && put.context.span != request.context.span);
    assert!(request.failed && !put.failed);
    assert_eq!(request.start, 1_767_323_045_000_000_000);
    assert!(request.end - request.start < Duration::from_secs(60).as_nanos() as u64);
    let said = [
        ("http.response.status_code", Value::Number(503)),
        ("error.type", text("503")),
    ];
    assert_eq!(request.attributes, said);
    let said = [
        ("postlake.segment.key", text(&"k".repeat(MOST_TEXT))),
        ("postlake.rows", Value::Number(3)),
    ];
    assert_eq!(put.attributes, said);
}

#[test]
fn common_work_belongs_to_the_first_that_is_kept_and_is_linked_to_the_others() {
    let kept = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let not_kept = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let spans = spans_of(500, 1.0, || {
        let request = |header| info_span!("request", traceparent = header);
        let requests: Vec<_> = [not_kept, kept].into_iter().map(request).collect();
        let more: Vec<_> = (0..150).map(|_| info_span!("request")).collect();
        let commit = info_span!(parent: None, "commit", otel.joins = true);
        for request in requests.iter().chain(&more) {
            commit.follows_from(request);
        }
        commit.in_scope(|| info_span!("put").in_scope(|| ()));
        let alone = info_span!(parent: None, "commit", otel.joins = true);
        alone.in_scope(|| info_span!("put of nobody").in_scope(|| ()));
        info_span!("nothing", otel.discard = true).in_scope(|| ());
    });
    let named = |name: &str| {
        spans
            .iter()
            .filter(|span| span.name == name)
            .collect::<Vec<_>>()
    };
    let (commits, puts) = (named("commit"), named("put"));
    let ([commit], [put]) = (commits.as_slice(), puts.as_slice()) else {
        panic!("{spans:?}")
    };
    assert_eq!(
        named("request").len(),
        151,
        "one of 152 says not to be kept"
    );
    let first = named("request")
        .into_iter()
        .find(|span| span.parent_is_remote);
    let first = first.unwrap();
    assert_eq!(first.parent, Some(0x00f0_67aa_0ba9_02b7));
    assert_eq!(
        first.context.trace,
        0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736
    );
    assert_eq!(
        (commit.context.trace, commit.parent),
        (first.context.trace, Some(first.context.span))
    );
    assert_eq!(
        (put.context.trace, put.parent),
        (first.context.trace, Some(commit.context.span))
    );
    assert_eq!(
        (commit.links.len(), commit.links_left_out),
        (MOST_LINKS, 22)
    );
    assert_eq!(named("nothing").len() + named("put of nobody").len(), 0);
}

#[test]
fn what_is_not_kept_is_not_sent_and_a_full_queue_waits_for_nobody() {
    let five = || (0..5).for_each(|_| info_span!("request").in_scope(|| ()));
    assert_eq!(spans_of(8, 0.0, five).len(), 0);
    let before = DROPPED.load(Relaxed);
    assert_eq!(spans_of(2, 1.0, five).len(), 2);
    assert!(DROPPED.load(Relaxed) >= before + 3);
}

#[test]
fn a_request_whose_answer_nobody_waits_for_says_so() {
    let spans = spans_of(2, 1.0, || {
        let request = info_span!("request", otel.kind = "server");
        request.in_scope(|| ());
    });
    assert_eq!(spans[0].attributes, [("error.type", text("client_gone"))]);
    assert!(spans[0].failed);
}

#[test]
fn a_span_ends_when_it_was_last_left_and_not_when_the_last_of_its_holders_goes() {
    let (queue, _spans) = mpsc::channel(1);
    let at = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
    let sampler = Sampler {
        by_parent: true,
        ratio: 1.0,
    };
    let clock = Arc::new(ManualClock::new(at));
    let collect = Collect::new(queue, clock, Sampling::new(sampler, true));
    let mut open = collect.open(Fields::default(), None);
    open.left = Some(open.began + Duration::from_millis(5));
    let span = open.close("request").unwrap();
    assert_eq!(span.end - span.start, 5_000_000);
}
