//! `postlake quarantine drop`, and what was dropped.

use std::collections::HashMap;
use std::process::ExitCode;

use postlake_loader::ItemPlace;
use postlake_raw::{AuditEntry, RawStore};

use super::items;
use crate::cli::QuarantineDropArgs;
use crate::command::output::{print, who};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::wire;

/// The deed's name in the audit log.
const DEED: &str = "quarantine-drop";

/// Places in one entry of the audit log.
const PLACES_IN_AN_ENTRY: usize = 5_000;

/// Most items that are dropped at once.
const MOST_DROPPED: usize = 1_000_000;

/// The items that somebody has dropped.
#[derive(Debug, Default)]
pub(super) struct Dropped(HashMap<String, String>);

impl Dropped {
    /// Reads the audit log.
    pub(super) async fn read(raw: &RawStore) -> Result<Dropped, Failure> {
        let entries = raw.audit().await;
        let entries = entries
            .map_err(|source| Failure::caused(Exit::Unavailable, "read the audit log", source))?;
        let mut dropped = HashMap::new();
        for entry in entries.into_iter().filter(|entry| entry.what == DEED) {
            let why = entry.why.map(|why| format!(": {why}")).unwrap_or_default();
            let at = entry.at.format("%Y-%m-%d %H:%MZ");
            let said = format!("{at} by {}{why}", entry.who);
            dropped.extend(entry.to.into_iter().map(|place| (place, said.clone())));
        }
        Ok(Dropped(dropped))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// When, by whom and why it was dropped, if it was.
    pub(super) fn by(&self, place: &ItemPlace) -> Option<&str> {
        self.0.get(&place.to_string()).map(String::as_str)
    }
}

pub(super) async fn run(arguments: QuarantineDropArgs) -> Result<ExitCode, Failure> {
    if arguments.places.is_empty() && !arguments.all {
        let message = "name the items to drop, or say --all with a filter";
        return Err(Failure::new(Exit::Usage, message));
    }
    if arguments.all && arguments.filter.is_empty() {
        let message = "--all without a filter would drop everything; say which, as with --code";
        return Err(Failure::new(Exit::Usage, message));
    }
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let raw = wire::raw_store(&settings.data)?;
    let dropped = Dropped::read(&raw).await?;
    let mut places = chosen(&arguments, &settings).await?;
    places.retain(|place| dropped.by(place).is_none());
    if arguments.dry_run {
        print(&format!("{} items would be dropped", places.len()))?;
        return Ok(ExitCode::SUCCESS);
    }
    for some in places.chunks(PLACES_IN_AN_ENTRY) {
        let entry = AuditEntry {
            at: wire::clock().now(),
            who: who(),
            what: DEED.to_owned(),
            to: some.iter().map(ItemPlace::to_string).collect(),
            why: arguments.why.clone(),
        };
        let noted = raw.note(&entry).await;
        noted.map_err(|source| Failure::caused(Exit::Io, "write to the audit log", source))?;
    }
    print(&format!(
        "{} items dropped; they stay in the table and in raw, and `quarantine list` leaves them out",
        places.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Items that are in quarantine.
async fn chosen(
    arguments: &QuarantineDropArgs,
    settings: &Settings,
) -> Result<Vec<ItemPlace>, Failure> {
    let engine = wire::local_engine(&settings.data)?;
    if arguments.all {
        let items = items::all_filtered(&engine, &arguments.filter, MOST_DROPPED).await?;
        return Ok(items.iter().filter_map(items::Item::place).collect());
    }
    for place in &arguments.places {
        if items::at(&engine, place).await?.is_none() {
            let message = format!("{place} is not in quarantine");
            return Err(Failure::new(Exit::Data, message));
        }
    }
    Ok(arguments.places.clone())
}
