//! A request as SparkPost would send it, not sent yet.

use bytes::Bytes;

use crate::alerts::AlertPost;
use crate::batch::Batch;

/// Where postlake takes event webhooks.
pub const EVENTS_PATH: &str = "/webhooks/events";
/// Where postlake takes alert webhooks.
pub const ALERTS_PATH: &str = "/webhooks/alerts";
/// Where postlake gives out access tokens.
pub const TOKEN_PATH: &str = "/oauth/token";

/// One POST.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path on postlake's ingest listener.
    pub path: &'static str,
    /// Name and value, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl Request {
    /// An event webhook with SparkPost's headers (webhook reference, 2026).
    #[must_use]
    pub fn events(batch: &Batch) -> Self {
        Self {
            path: EVENTS_PATH,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("x-messagesystems-batch-id", batch.id.clone()),
                ("user-agent", "SparkPost".to_owned()),
                ("connection", "close".to_owned()),
            ],
            body: batch.body.clone(),
        }
    }

    /// An alert webhook with the headers of the capture of 2021: axios, and no batch id.
    #[must_use]
    pub fn alerts(post: &AlertPost) -> Self {
        Self::alerts_body(post.body.clone())
    }

    /// An alert webhook with a body of any content.
    #[must_use]
    pub fn alerts_body(body: Bytes) -> Self {
        Self {
            path: ALERTS_PATH,
            headers: vec![
                ("content-type", "application/json;charset=utf-8".to_owned()),
                ("accept", "application/json, text/plain, */*".to_owned()),
                ("user-agent", "axios/0.21.1".to_owned()),
                ("connection", "close".to_owned()),
            ],
            body,
        }
    }
}
