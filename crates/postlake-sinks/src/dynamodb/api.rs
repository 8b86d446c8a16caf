//! Calls to DynamoDB with what can go wrong told apart, and made again where that helps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use postlake_event::sink::SinkError;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::line::Line;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How calls are made again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// Longest first wait; each is twice as long as the one before it, less a random part.
    pub(crate) first: Duration,
    /// Longest wait of all.
    pub(crate) most: Duration,
    /// After this long without any progress the caller hears of it.
    pub(crate) patience: Duration,
}

impl Backoff {
    pub(crate) const USUAL: Backoff = Backoff {
        first: Duration::from_millis(50),
        most: Duration::from_secs(5),
        patience: Duration::from_secs(60),
    };
}

/// Waits of one task, with jitter: many that were turned back together do not come back together.
#[derive(Debug)]
pub(crate) struct Waits {
    backoff: Backoff,
    next: Duration,
    until: Instant,
}

impl Waits {
    pub(crate) fn new(backoff: Backoff) -> Waits {
        Waits {
            backoff,
            next: backoff.first,
            until: Instant::now() + backoff.patience,
        }
    }

    /// Something was achieved: patience begins anew.
    pub(crate) fn progress(&mut self) {
        *self = Waits::new(self.backoff);
    }

    /// Waits; false when patience is at an end.
    pub(crate) async fn wait(&mut self) -> bool {
        let pause = self.next.mul_f64(rand::random::<f64>());
        if Instant::now() + pause > self.until {
            return false;
        }
        tokio::time::sleep(pause).await;
        self.next = (self.next * 2).min(self.backoff.most);
        true
    }
}

/// What a call can come to other than its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Too much at once, an error of the server, or no answer: the same call may work later.
    Later,
    /// The condition of a write does not hold.
    Condition,
    /// The request can never be taken.
    Invalid,
    /// There is no such table.
    NoTable,
    /// There is such a table already.
    TableExists,
    /// Anything else: no permission, say.
    Other,
}

/// A call that did not work.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    action: &'static str,
    source: BoxError,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "call {}", self.action)
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, action: &'static str, source: impl Into<BoxError>) -> Fault {
        Fault {
            kind,
            action,
            source: source.into(),
        }
    }

    /// For the caller of a sink.
    pub(crate) fn into_sink_error(self, table: &str) -> SinkError {
        let doing = match self.kind {
            FaultKind::NoTable => format!(
                "use the table {table}, which is not there; `postlake dynamodb create-table` makes it"
            ),
            _ => format!("use the table {table}"),
        };
        SinkError::new(doing, self)
    }
}

/// The form of every error.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

fn fault_of(action: &'static str, status: u16, body: &[u8]) -> Fault {
    let error: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let name = error.kind.rsplit('#').next().unwrap_or_default();
    let kind = match name {
        "ConditionalCheckFailedException" => FaultKind::Condition,
        "ValidationException" => FaultKind::Invalid,
        "ResourceNotFoundException" | "TableNotFoundException" => FaultKind::NoTable,
        "ResourceInUseException" | "TableAlreadyExistsException" => FaultKind::TableExists,
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "InternalServerError"
        | "TransactionConflictException"
        | "ServiceUnavailable" => FaultKind::Later,
        _ if status >= 500 || status == 429 => FaultKind::Later,
        _ => FaultKind::Other,
    };
    let said = match (name, error.message) {
        ("", message) if message.is_empty() => format!("it answered {status}"),
        (name, message) => format!("it answered {status} {name}: {message}"),
    };
    Fault::new(kind, action, said)
}

/// The calls.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    line: Arc<dyn Line>,
    pub(crate) backoff: Backoff,
}

impl Api {
    pub(crate) fn new(line: Arc<dyn Line>, backoff: Backoff) -> Api {
        Api { line, backoff }
    }

    /// Makes the call, again and again while it fails in a way that passes.
    ///
    /// # Errors
    /// What it came to; [`FaultKind::Later`] when patience is at an end.
    pub(crate) async fn call(&self, action: &'static str, request: &Value) -> Result<Value, Fault> {
        let mut waits = Waits::new(self.backoff);
        loop {
            match self.once(action, request).await {
                Err(fault) if fault.kind == FaultKind::Later => {
                    if !waits.wait().await {
                        return Err(fault);
                    }
                }
                done => return done,
            }
        }
    }

    async fn once(&self, action: &'static str, request: &Value) -> Result<Value, Fault> {
        let body = request.to_string().into_bytes();
        let answer = self.line.call(action, body).await;
        let answer = answer.map_err(|source| Fault::new(FaultKind::Later, action, source))?;
        if answer.status != 200 {
            return Err(fault_of(action, answer.status, &answer.body));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|source| Fault::new(FaultKind::Later, action, source))
    }
}
