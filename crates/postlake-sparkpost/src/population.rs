//! Who takes part: senders, recipients, mailbox providers, servers' refusals, readers' devices and places.
//!
//! All of it is made up. Names of people are common given and family names put together by chance, domains
//! are under `example.com`, `.org` and `.net` (RFC 2606), addresses from RFC 5737.

mod readers;
mod refusals;
mod senders;

pub(crate) use readers::{
    CLIENTS, Client, FIRST_NAMES, LAST_NAMES, PLACES, PROVIDERS, Place, Provider,
};
pub(crate) use refusals::{BLOCK, GENERATION, HARD, LATE, POLICY, RELAY, Refusal, SMS, SOFT};
pub(crate) use senders::{CAMPAIGNS, Campaign};
pub use senders::{Quality, STORM_SUBACCOUNT, SUBACCOUNTS, Subaccount};
