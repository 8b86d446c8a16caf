//! `postlake quarantine retry`: a replay of the batches that the items lie in.

use std::process::ExitCode;

use postlake_loader::{Choice, ItemPlace};

use super::dropped::Dropped;
use super::items;
use crate::cli::QuarantineRetryArgs;
use crate::command::replay::{Deed, replay_and_tell};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::wire;

/// Most items that are retried at once.
const MOST_RETRIED: usize = 1_000_000;

pub(super) async fn run(arguments: QuarantineRetryArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let engine = wire::local_engine(&settings.data)?;
    let mut places = arguments.places.clone();
    if places.is_empty() {
        if !arguments.all && arguments.filter.is_empty() {
            let message = "name the items to retry, or say --all or a filter such as --code";
            return Err(Failure::new(Exit::Usage, message));
        }
        let dropped = Dropped::read(&wire::raw_store(&settings.data)?).await?;
        let found = items::all_filtered(&engine, &arguments.filter, MOST_RETRIED).await?;
        places = found.iter().filter_map(items::Item::place).collect();
        places.retain(|place| dropped.by(place).is_none());
    }
    for place in &arguments.places {
        if items::at(&engine, place).await?.is_none() {
            let message = format!("{place} is not in quarantine");
            return Err(Failure::new(Exit::Data, message));
        }
    }
    let deed = Deed {
        what: "quarantine-retry",
        to: words(&places),
        dry_run: arguments.dry_run,
        output: arguments.output,
    };
    replay_and_tell(&settings, &Choice::of_places(places), deed).await
}

/// Places that the audit log names one by one.
const MOST_NAMED: usize = 1_000;

fn words(places: &[ItemPlace]) -> Vec<String> {
    let named = places.iter().take(MOST_NAMED).map(ItemPlace::to_string);
    let mut words: Vec<String> = named.collect();
    if places.len() > MOST_NAMED {
        words.push(format!("and {} more", places.len() - MOST_NAMED));
    }
    words
}
