//! Whether the store takes, gives and lists, and whether a name can be taken only once.

use std::time::Duration;

use postlake_raw::CreateOnly;

use super::Finding;
use crate::config::Settings;
use crate::exit::chain;
use crate::wire;

/// How long the store may take for all of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is put to see how fast it is.
const PUTS: usize = 20;
const OBJECT_BYTES: usize = 64 << 10;

pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let place = settings.data.to_string();
    if settings
        .data
        .directory()
        .is_some_and(|directory| !directory.exists())
    {
        let found = "is not there yet; the first start makes it";
        return vec![Finding::ok("store", place, found)];
    }
    match tokio::time::timeout(PATIENCE, probe(settings)).await {
        Ok(findings) => findings,
        Err(_) => {
            let found = format!("did not answer within {} s", PATIENCE.as_secs());
            vec![
                Finding::ok("store", place, found)
                    .fail("look at the network and at AWS_ENDPOINT_URL"),
            ]
        }
    }
}

async fn probe(settings: &Settings) -> Vec<Finding> {
    let place = settings.data.to_string();
    let finding = |found: String| Finding::ok("store", place.clone(), found);
    let store = match wire::raw_store(&settings.data) {
        Ok(store) => store,
        Err(failure) => {
            return vec![finding(chain(&failure)).fail("see store.url and the AWS_* variables")];
        }
    };
    let written = match store.probe_create_only().await {
        Ok(CreateOnly::Honoured) => {
            finding("takes an object, and a name only once (create-only puts are honoured)".to_owned())
        }
        Ok(CreateOnly::Ignored) => finding("ignores create-only puts".to_owned()).warn(
            "segments are protected by their unique names alone, the commits of the lake are not: run one loader only",
        ),
        Err(error) => {
            return vec![finding(chain(&error)).fail(
                "the user or role needs to put, get, list and delete under this prefix",
            )];
        }
    };
    let speed = match store.probe_sync_speed(PUTS, OBJECT_BYTES).await {
        Ok(speed) => finding(format!(
            "an object of 64 KiB is durable in {:.1} ms (p50), {:.1} ms at most over {} puts",
            speed.median.as_secs_f64() * 1e3,
            speed.longest.as_secs_f64() * 1e3,
            speed.puts
        )),
        Err(error) => finding(chain(&error)).fail("look at the disk or the network"),
    };
    let listed = match store.dates().await {
        Ok(dates) => match dates.iter().max() {
            Some(newest) if *newest > wire::clock().now().date_naive() => finding(format!(
                "lists {} days, the newest {newest} lies in the future",
                dates.len()
            ))
            .warn("was the clock set back, here or at another receiver?"),
            _ => finding(format!("lists {} days of segments", dates.len())),
        },
        Err(error) => {
            finding(chain(&error)).fail("the user or role needs to list under this prefix")
        }
    };
    vec![written, speed, listed]
}
