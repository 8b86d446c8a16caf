//! The read side: SQL over the lake, Health Scores and totals, the HTTP API and the page at `/`.
//!
//! Promises:
//!
//! * nothing here writes: SQL is one reading statement, HTTP knows GET and HEAD plus the query endpoint;
//! * one answer is one moment of the lake: the versions of the four tables are taken once per answer
//!   and are part of it;
//! * what users write is bounded in text, nesting, memory, rows and time, and an answer that was cut says so;
//! * text that senders and recipients control is shown as text, on the page and in a terminal table;
//! * no page makes a request to another host, and every page works without JavaScript.
//!
//! It deliberately knows neither the raw store nor the receiver, and sees the lake through the port
//! [`TableSource`], which [`LakeSource`] fills. Start at [`ServeState`] and [`router`] for HTTP, at [`SqlEngine`] for SQL.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "tests may panic"
    )
)]

mod api;
mod bounce;
#[cfg(test)]
mod fixture;
pub mod format;
mod hosts;
mod lake_source;
mod ledger;
mod look;
mod nearest;
mod page;
mod protect;
pub mod scores;
mod server;
mod source;
mod sql;
mod state;
mod subject;
pub mod summary;
mod trace;

pub use hosts::HostPolicy;
pub use lake_source::LakeSource;
pub use ledger::LedgerHour;
pub use postlake_listen::visible;
pub use protect::protect;
pub use server::{router, serve};
pub use source::{BoxError, TableSet, TableSnapshot, TableSource, Versions};
pub use sql::{PlanVisibility, QueryAnswer, SqlEngine, SqlError, SqlErrorKind, SqlLimits, VIEWS};
pub use state::{Now, ServeConfig, ServeState};
pub use subject::Subaccount;
