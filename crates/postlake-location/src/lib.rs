//! Where the data lies: a directory or `s3://bucket/prefix`, as `--data` names it.
//!
//! A crate of its own because who receives has to know it and must not see the lake.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests may panic"))]
#![warn(missing_docs)]

mod data_url;

pub use data_url::{DataUrl, DataUrlError};
