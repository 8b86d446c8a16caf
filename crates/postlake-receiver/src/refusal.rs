//! Why a batch is not acknowledged. A closed list with stable codes.

use axum::http::StatusCode;

/// A batch that was not acknowledged. The sender should send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credential, or none that is valid.
    #[error("no valid credential")]
    Unauthorized,
    /// The request comes from an address that is not on the allow list.
    #[error("requests from this address are not taken")]
    AddressNotAllowed,
    /// The body is larger than `max_body_bytes`.
    #[error("the body is larger than this server takes")]
    BodyTooLarge,
    /// The body came too slowly.
    #[error("the body came too slowly")]
    BodyTooSlow,
    /// The body ended early or was not valid HTTP.
    #[error("the body ended early")]
    BodyIncomplete,
    /// More bytes or batches are in flight than the limits allow.
    #[error("too many bytes are in flight")]
    Overloaded,
    /// Events are held back (see [`crate::Receiver::hold_events`]); alerts still go in.
    #[error("events are held back, the store is nearly full")]
    EventsHeld,
    /// The store did not say in time that the batch is durable.
    #[error("the batch was not durable in time")]
    NotDurableInTime,
    /// The store refused the batch, or failed several times.
    #[error("the store failed")]
    StoreFailed,
    /// The receiver is closing.
    #[error("the receiver is closing")]
    Closing,
    /// The committer has died; only a restart helps.
    #[error("the committer has stopped")]
    Stopped,
}

impl Refusal {
    /// Every refusal, in the order of the counters.
    pub const ALL: [Self; 11] = [
        Self::Unauthorized,
        Self::AddressNotAllowed,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::BodyIncomplete,
        Self::Overloaded,
        Self::EventsHeld,
        Self::NotDurableInTime,
        Self::StoreFailed,
        Self::Closing,
        Self::Stopped,
    ];

    /// Stable name, as in problem documents and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyIncomplete => "body_incomplete",
            Self::Overloaded => "overloaded",
            Self::EventsHeld => "events_held",
            Self::NotDurableInTime => "not_durable_in_time",
            Self::StoreFailed => "store_failed",
            Self::Closing => "closing",
            Self::Stopped => "stopped",
        }
    }

    /// The HTTP answer. Never one that says something about the body's content; 401 for credentials
    /// alone, and 400 for a broken request alone: SparkPost reads both as "token expired" (webhooks
    /// guide, OAuth 2).
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::AddressNotAllowed => StatusCode::FORBIDDEN,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyIncomplete => StatusCode::BAD_REQUEST,
            Self::Overloaded
            | Self::EventsHeld
            | Self::NotDurableInTime
            | Self::StoreFailed
            | Self::Closing
            | Self::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
