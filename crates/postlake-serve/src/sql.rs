//! SQL over the lake: read-only, bounded, one moment of the lake per question.
//!
//! Walls, from the outside in: the text's size, its tokens, operators and nesting before anything is
//! parsed ([`guard`]); one reading statement over known tables that does not unfold without end
//! ([`unfold`]); planning on a thread with a large
//! stack; a plan of bounded size without DDL, DML or statements; functions that build values of any
//! size taken out; a memory pool, a row and a byte limit and a wall-clock limit while it runs. The
//! process that runs it is a wall of its own, which the binary builds.

mod engine;
mod error;
mod guard;
mod limits;
mod plan;
mod reader;
mod session;
mod unfold;
mod views;

pub use engine::{QueryAnswer, SqlEngine};
pub use error::{SqlError, SqlErrorKind};
pub use limits::{PlanVisibility, SqlLimits};
pub(crate) use reader::{Reader, rows};
pub use views::VIEWS;

#[cfg(test)]
mod tests;
