//! Traffic that several tests send.

use postlake_testkit::{Client, ClientLedger, Place, Server, http};

/// A body with one event of that id.
pub(crate) fn one_event(id: &str) -> Vec<u8> {
    format!(
        r#"[{{"msys":{{"message_event":{{"type":"bounce","event_id":"{id}","timestamp":"1789462821.25","subaccount_id":"101","bounce_class":"10","reason":"550 5.1.1 \"no\", such user\r\n","campaign_id":"","open_tracking":true,"geo_ip":{{"latitude":48.1,"country":"DE"}}}}}}}}]"#
    )
    .into_bytes()
}

/// Posts what one client posts, to the end of its ledger.
pub(crate) fn post(server: &Server, seed: u64, posts: usize) -> ClientLedger {
    let ledger = ClientLedger::default();
    let mut client = Client::new(seed, 0);
    for _ in 0..posts {
        let post = client.next_post();
        ledger.attempt(&post);
        let answer = http::post(server.ingest(), &post.request).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        ledger.answered(&post);
    }
    ledger
}

/// Receives and loads what one client posts.
pub(crate) fn fill(place: &Place, seed: u64, posts: usize) -> ClientLedger {
    let server = place.serve(&["--role", "receive,load"]);
    let ledger = post(&server, seed, posts);
    place.drain(server);
    ledger
}
