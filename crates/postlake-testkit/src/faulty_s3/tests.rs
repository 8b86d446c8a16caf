//! The server against object_store's own client: what it stores, and that each fault does happen.

use std::time::Duration;

use futures::TryStreamExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, RetryConfig,
};

use super::*;

/// A client that never tries twice.
fn client(server: &FaultyS3) -> AmazonS3 {
    let once = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    server.client().with_retry(once).build().unwrap()
}

async fn create(client: &AmazonS3, name: &str, body: &'static str) -> object_store::Result<()> {
    let options = PutOptions::from(PutMode::Create);
    let payload = PutPayload::from_static(body.as_bytes());
    client
        .put_opts(&Path::from(name), payload, options)
        .await
        .map(drop)
}

#[tokio::test]
async fn it_is_a_store_to_the_client() {
    let server = FaultyS3::start(1);
    let client = client(&server);
    create(&client, "a/b c/1", "one").await.unwrap();
    create(&client, "a/b c/2", "two").await.unwrap();
    create(&client, "a/other", "three").await.unwrap();
    let taken = create(&client, "a/other", "four").await.unwrap_err();
    assert!(matches!(taken, Error::AlreadyExists { .. }), "{taken}");

    let one = Path::from("a/b c/1");
    assert_eq!(
        client.get(&one).await.unwrap().bytes().await.unwrap(),
        "one"
    );
    assert_eq!(client.get_range(&one, 1..3).await.unwrap(), "ne");
    assert_eq!(client.head(&one).await.unwrap().size, 3);
    let missing = client.get(&Path::from("a/x")).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }));

    let listing = client
        .list_with_delimiter(Some(&Path::from("a")))
        .await
        .unwrap();
    assert_eq!(listing.common_prefixes, [Path::from("a/b c")]);
    assert_eq!(listing.objects.len(), 1);
    let after = client.list_with_offset(Some(&Path::from("a/b c")), &one);
    let after: Vec<_> = after.try_collect().await.unwrap();
    assert_eq!(after.len(), 1);
    client.delete(&one).await.unwrap();
    assert_eq!(server.objects().len(), 2);
    assert_eq!(server.acknowledged().len(), 3);
}

#[tokio::test]
async fn long_listings_come_page_by_page() {
    let server = FaultyS3::start(1);
    let client = client(&server);
    for number in 0..1005 {
        create(&client, &format!("p/{number:04}"), "x")
            .await
            .unwrap();
    }
    let all: Vec<_> = client
        .list(Some(&Path::from("p")))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(all.len(), 1005);
}

/// What a create-only put comes to under the faults, and whether the object is there afterwards.
async fn check_put(faults: Faults, stored: bool) -> Error {
    let server = FaultyS3::start(7);
    let client = client(&server);
    server.set(faults.clone());
    let error = create(&client, "a", "body").await.expect_err("a fault");
    assert_eq!(server.objects().len(), usize::from(stored), "{faults:?}");
    assert_eq!(server.acknowledged(), []);
    server.set(Faults::default());
    create(&client, "b", "body").await.unwrap();
    error
}

#[tokio::test]
async fn each_fault_of_a_put_happens() {
    let share = 1.0;
    let none = Faults::default;
    let refused = check_put(
        Faults {
            unavailable: share,
            ..none()
        },
        false,
    )
    .await;
    assert!(refused.to_string().contains("503"), "{refused}");
    let refused = check_put(
        Faults {
            throttled: share,
            ..none()
        },
        false,
    )
    .await;
    assert!(refused.to_string().contains("429"), "{refused}");
    check_put(
        Faults {
            reset: share,
            ..none()
        },
        false,
    )
    .await;
    check_put(
        Faults {
            lost_answer: share,
            ..none()
        },
        true,
    )
    .await;
    let conflict = check_put(
        Faults {
            conflict_on_create: share,
            ..none()
        },
        false,
    )
    .await;
    assert!(matches!(conflict, Error::AlreadyExists { .. }));
    for (fault, code) in [
        (CredentialFault::Expired, "ExpiredToken"),
        (CredentialFault::ExpiredForbidden, "ExpiredToken"),
        (CredentialFault::ClockSkew, "RequestTimeTooSkewed"),
    ] {
        let refused = check_put(
            Faults {
                credentials: Some(fault),
                ..none()
            },
            false,
        )
        .await;
        assert!(format!("{refused:?}").contains(code), "{refused:?}");
    }
}

#[tokio::test]
async fn reading_can_be_cut_and_listing_be_late() {
    let server = FaultyS3::start(3);
    let client = client(&server);
    create(&client, "d/1", "first").await.unwrap();
    create(&client, "d/2", "second").await.unwrap();
    server.set(Faults {
        truncated_get: 1.0,
        stale_listing: true,
        ..Faults::default()
    });
    let cut = client.get(&Path::from("d/1")).await.unwrap().bytes().await;
    assert!(cut.is_err());
    let listed: Vec<_> = client
        .list(Some(&Path::from("d")))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn waits_take_their_time_and_a_slow_close_costs_nobody_an_answer() {
    let server = FaultyS3::start(5);
    let client = client(&server);
    let delay = Duration::from_millis(60);
    server.set(Faults {
        delay: Some(Delay {
            mean: delay,
            spread: delay / 2,
        }),
        slow_close: 1.0,
        bytes_per_sec: Some(1000),
        ..Faults::default()
    });
    let start = std::time::Instant::now();
    for name in ["a", "b", "c"] {
        create(&client, name, "0123456789").await.unwrap();
    }
    assert!(start.elapsed() >= (delay / 2 + Duration::from_millis(10)) * 3);
}
