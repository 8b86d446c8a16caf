//! The operator's side of a running server: what it does, for metrics, health checks and `top`.

mod listener;

mod ingest;
mod metrics;
mod process;

pub(crate) mod status;
mod vitals;

pub(crate) use ingest::Ingesting;
pub(crate) use listener::{Admin, start};
pub(crate) use vitals::{ReadNotes, Vitals};
