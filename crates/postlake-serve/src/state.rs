//! What all requests share: the lake, the clock, the limits, and the last look at the lake.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use crate::hosts::HostPolicy;
use crate::look::Look;
use crate::source::TableSource;
use crate::sql::{SqlEngine, SqlError, SqlLimits};

/// Says what time it is; given by whoever owns the clock.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What the read listener is told at start.
#[derive(Clone)]
pub struct ServeConfig {
    /// Base URL of the ingest listener as SparkPost should see it, for the set-up shown on an empty page;
    /// no slash at the end.
    pub ingest_url: String,
    /// Which host names are answered.
    pub hosts: HostPolicy,
    /// Limits of SQL that comes over HTTP.
    pub limits: SqlLimits,
    /// The clock.
    pub now: Now,
}

impl ServeConfig {
    /// The default for a listener on `address`: remote SQL limits, and on loopback only loopback's names.
    pub fn new(address: SocketAddr, ingest_url: String, now: Now) -> ServeConfig {
        ServeConfig {
            ingest_url,
            hosts: HostPolicy::for_address(address, &[]),
            limits: SqlLimits::remote(),
            now,
        }
    }
}

impl fmt::Debug for ServeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeConfig")
            .field("ingest_url", &self.ingest_url)
            .field("hosts", &self.hosts)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What all requests share; cheap to clone.
#[derive(Clone, Debug)]
pub struct ServeState {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    engine: SqlEngine,
    config: ServeConfig,
    /// Part of every entity tag: the same versions in another lake or run are another entity.
    run: String,
    look: Mutex<Option<Arc<Look>>>,
}

impl ServeState {
    /// State over the tables of `source`.
    pub fn new(source: Arc<dyn TableSource>, config: ServeConfig) -> ServeState {
        let run = format!("{:x}", (config.now)().timestamp_micros());
        ServeState {
            shared: Arc::new(Shared {
                engine: SqlEngine::new(source, config.limits),
                config,
                run,
                look: Mutex::new(None),
            }),
        }
    }

    /// The SQL engine behind the API.
    pub fn engine(&self) -> &SqlEngine {
        &self.shared.engine
    }

    pub(crate) fn config(&self) -> &ServeConfig {
        &self.shared.config
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.shared.config.now)()
    }

    pub(crate) fn run(&self) -> &str {
        &self.shared.run
    }

    /// Totals, scores and trends of the newest moment. Computed once per moment of the lake, however
    /// many readers ask; those who ask meanwhile wait for the same result.
    pub(crate) async fn look(&self) -> Result<Arc<Look>, SqlError> {
        let mut kept = self.shared.look.lock().await;
        let versions = self.engine().tables().await?.versions();
        match kept.as_ref() {
            Some(look) if look.summary.versions == versions => Ok(Arc::clone(look)),
            _ => {
                let look = Arc::new(Look::take(self.engine()).await?);
                *kept = Some(Arc::clone(&look));
                Ok(look)
            }
        }
    }
}
