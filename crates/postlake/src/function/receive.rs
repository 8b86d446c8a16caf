//! The function that takes webhooks: one stream for each environment that runs it, 200 after the
//! verified put.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use postlake_raw::SegmentKey;
use postlake_receiver::{OnLanded, Receiver};
use tower::Service as _;

use super::runtime::Invocation;
use super::{Function, http_event};
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::wire;

/// Somebody has said that nothing need protect the function.
const OPEN_VARIABLE: &str = "POSTLAKE_DANGEROUSLY_OPEN_TO_EVERYONE";

/// Before the deadline the answer is on its way.
const RESERVE: Duration = Duration::from_millis(500);

/// How often is looked whether an alert has been landed after all.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Receiving {
    receiver: Arc<Receiver>,
    router: Router,
}

impl Receiving {
    /// Nothing is written and nothing is asked before the first request: that would be time of a cold
    /// start. `postlake doctor` looks at the store.
    pub(crate) fn start(settings: &Settings) -> Result<Receiving, Failure> {
        let open = std::env::var_os(OPEN_VARIABLE).is_some_and(|value| value == "1");
        if !settings.receiver.auth.has_credentials() && !open {
            let message = format!(
                "anybody who knows the address can post: configure a credential under [ingest.auth]; \
                 {OPEN_VARIABLE}=1 takes webhooks from anybody"
            );
            return Err(Failure::new(Exit::Config, message));
        }
        let landing = wire::landing(settings)?;
        let nobody: OnLanded = Arc::new(|_segment: &SegmentKey| {});
        // An environment has one request at a time: there is nothing to wait for between two puts.
        let limits = postlake_receiver::Config {
            commit_interval: Duration::ZERO,
            ..landing.limits
        };
        let receiver = Receiver::start(limits, landing.raw, wire::clock(), nobody);
        let receiver = receiver.map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            let message = format!("limits of the receiver: {}", faults.join("; "));
            Failure::new(Exit::Config, message)
        })?;
        let router = postlake_receiver::router(Arc::clone(&receiver));
        Ok(Receiving { receiver, router })
    }

    /// Between invocations the process stands still. An alert that was answered 503 is not sent again,
    /// and the receiver still tries to land it: it gets what time there is.
    async fn land_alerts(&self, invocation: &Invocation) {
        let landed = async {
            while self.receiver.alerts_in_flight() > 0 {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        if tokio::time::timeout(invocation.time_left(RESERVE), landed)
            .await
            .is_err()
        {
            tracing::error!("an alert could not be landed before the function's time was over");
        }
    }
}

impl Function for Receiving {
    /// The answer of the server's own paths.
    async fn answer(&self, invocation: &Invocation) -> Result<Vec<u8>, Failure> {
        let (door, request) = http_event::request(&invocation.event)
            .map_err(|source| Failure::caused(Exit::Data, "read the request", source))?;
        let response = self.router.clone().call(request).await;
        let response = response.unwrap_or_else(|never: Infallible| match never {});
        self.land_alerts(invocation).await;
        http_event::answer(door, response)
            .await
            .map_err(|source| Failure::caused(Exit::Failure, "write the answer", source))
    }
}
