//! A span that has ended.

use super::context::Context;

/// Which side of a conversation it is, as OTLP numbers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Internal = 1,
    Server = 2,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Number(i64),
}

/// What is sent of a span.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) context: Context,
    pub(super) parent: Option<u64>,
    /// The parent is in another process.
    pub(super) parent_is_remote: bool,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Nanoseconds since 1970.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) links: Vec<Context>,
    pub(super) links_left_out: u32,
    pub(super) failed: bool,
}

impl Span {
    /// The trace flags, and where the parent is, as OTLP numbers them.
    pub(super) fn flags(&self) -> u32 {
        const SAMPLED: u32 = 1;
        const SAYS_WHERE: u32 = 0x100;
        const REMOTE: u32 = 0x200;
        SAMPLED | SAYS_WHERE | if self.parent_is_remote { REMOTE } else { 0 }
    }
}
