//! The runtime's interface: ask for the next event, say what came of it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, Response};
use serde_json::json;

use crate::exit::{Exit, Failure, chain};
use crate::wire;

/// Where the runtime listens; it sets this.
pub(crate) const VARIABLE: &str = "AWS_LAMBDA_RUNTIME_API";

/// Events have at most 6 MB, of a load balancer 1 MB.
const MOST_EVENT_BYTES: usize = 32 * 1024 * 1024;

/// An answer that the runtime does not take is tried again this often.
const ANSWER_TRIES: u32 = 3;

const PAUSE: Duration = Duration::from_millis(100);

/// The line to the runtime.
#[derive(Debug)]
pub(crate) struct Runtime {
    client: Client,
    base: String,
}

/// An event that waits for an answer.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) id: String,
    pub(crate) event: Bytes,
    /// When the process is stopped if it has not answered.
    deadline: Option<DateTime<Utc>>,
}

impl Invocation {
    /// Time until the deadline, less `reserve`.
    pub(crate) fn time_left(&self, reserve: Duration) -> Duration {
        /// What a function has that is started by hand, without a deadline.
        const USUAL: Duration = Duration::from_secs(10);
        let Some(deadline) = self.deadline else {
            return USUAL;
        };
        let left = deadline - wire::clock().now();
        let left = left - TimeDelta::from_std(reserve).unwrap_or_default();
        left.to_std().unwrap_or_default()
    }
}

impl Runtime {
    /// # Errors
    /// When no runtime has started this process.
    pub(crate) fn of_environment() -> Result<Runtime, Failure> {
        let Ok(address) = std::env::var(VARIABLE) else {
            let message = format!(
                "{VARIABLE} is not set: `postlake lambda` runs under the runtime of AWS Lambda; \
                 docs/aws.md says how"
            );
            return Err(Failure::new(Exit::Config, message));
        };
        // The next event may be hours away.
        let client = Client::builder().no_proxy().build().map_err(|source| {
            Failure::caused(Exit::Failure, "set up the client for the runtime", source)
        })?;
        Ok(Runtime {
            client,
            base: format!("http://{address}/2018-06-01/runtime"),
        })
    }

    /// Waits for an event.
    ///
    /// # Errors
    /// When the runtime does not answer; it starts another process.
    pub(crate) async fn next(&self) -> Result<Invocation, Failure> {
        let doing = "ask the runtime for the next event";
        let failed = |source| Failure::caused(Exit::Unavailable, doing, source);
        let url = format!("{}/invocation/next", self.base);
        let answer = self.client.get(&url).send().await.map_err(failed)?;
        let answer = answer.error_for_status().map_err(failed)?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let Some(id) = header("lambda-runtime-aws-request-id") else {
            return Err(Failure::new(
                Exit::Unavailable,
                format!("{doing}: it has no id"),
            ));
        };
        let deadline = header("lambda-runtime-deadline-ms");
        let deadline = deadline.and_then(|text| text.parse().ok());
        Ok(Invocation {
            id,
            deadline: deadline.and_then(DateTime::from_timestamp_millis),
            event: collect(answer).await?,
        })
    }

    /// Says what came of an event.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub(crate) async fn answer(
        &self,
        invocation: &Invocation,
        done: Result<Vec<u8>, Failure>,
    ) -> Result<(), Failure> {
        let (end, body) = match done {
            Ok(answer) => ("response", answer),
            Err(failure) => {
                tracing::error!(request = invocation.id, "{}", chain(&failure));
                ("error", error_body(&failure))
            }
        };
        let url = format!("{}/invocation/{}/{end}", self.base, invocation.id);
        self.post(&url, body).await
    }

    async fn post(&self, url: &str, body: Vec<u8>) -> Result<(), Failure> {
        let doing = "answer the runtime";
        let body = Bytes::from(body);
        let mut tries = 1;
        loop {
            let request = self.client.post(url).body(body.clone());
            let sent = request.send().await.and_then(Response::error_for_status);
            match sent {
                Ok(_) => return Ok(()),
                // Too late: the runtime has given the event up, and stops this process or goes on.
                Err(error)
                    if error
                        .status()
                        .is_some_and(|status| status.is_client_error()) =>
                {
                    tracing::warn!("the runtime did not take the answer: {}", chain(&error));
                    return Ok(());
                }
                Err(source) if tries == ANSWER_TRIES => {
                    return Err(Failure::caused(Exit::Unavailable, doing, source));
                }
                Err(_) => tries += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Says why there will be no answers. Nobody is left to hear of it if this fails too.
    pub(crate) async fn cannot_start(&self, failure: &Failure) {
        let url = format!("{}/init/error", self.base);
        if let Err(error) = self.post(&url, error_body(failure)).await {
            tracing::error!("{}", chain(&error));
        }
    }
}

fn error_body(failure: &Failure) -> Vec<u8> {
    json!({ "errorType": "postlake", "errorMessage": chain(failure) })
        .to_string()
        .into_bytes()
}

async fn collect(mut answer: Response) -> Result<Bytes, Failure> {
    let failed = |source| Failure::caused(Exit::Unavailable, "read the event", source);
    let mut event = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if event.len() + chunk.len() > MOST_EVENT_BYTES {
            return Err(Failure::new(Exit::Data, "the event is too large"));
        }
        event.extend_from_slice(&chunk);
    }
    Ok(event.freeze())
}
