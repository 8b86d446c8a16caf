//! The watch over the disk of a data directory: how full it is, whether the directory is there.
//!
//! While less than `min_free_bytes` is free, events are held back (503) and alerts are not; while less
//! than half of that is free, nothing is loaded either, so that what is left is for alerts. When
//! nothing at all is left, alerts are landed from the reserve, a file that gives its blocks up piece by
//! piece. When space returns, the reserve is filled again and everything goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use postlake_raw::data_directory::{DataDirectory, FreeSpace, Reserve, free_space};
use postlake_receiver::Receiver;
use tokio_util::sync::CancellationToken;

use crate::config::DiskSettings;
use crate::exit::{Exit, Failure};

/// How often the disk is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// A look that takes longer is said.
const SLOW_LOOK: Duration = Duration::from_secs(10);

/// Starts the watch; it ends with `stop`.
///
/// # Errors
/// When the free space cannot be read or the reserve cannot be opened.
pub(crate) fn watch(
    directory: Arc<DataDirectory>,
    settings: DiskSettings,
    receiver: &Arc<Receiver>,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let failed = |doing: &str, source| {
        let doing = format!("{doing} in {}", directory.path().display());
        Failure::caused(Exit::Io, doing, source)
    };
    let disk =
        free_space(directory.path()).map_err(|source| failed("read the free space", source))?;
    let reserve = Reserve::open(directory.path(), settings.reserve_bytes(disk))
        .map_err(|source| failed("open the reserve for alerts", source))?;
    let reserve = Arc::new(reserve);
    let given = Arc::clone(&reserve);
    receiver.on_full(Arc::new(move |bytes| given.give(bytes)));
    let watch = Watch {
        directory,
        settings,
        reserve,
        receiver: Arc::clone(receiver),
        seen: Seen::default(),
    };
    drop(tokio::spawn(watch.run(stop)));
    Ok(())
}

struct Watch {
    directory: Arc<DataDirectory>,
    settings: DiskSettings,
    reserve: Arc<Reserve>,
    receiver: Arc<Receiver>,
    seen: Seen,
}

/// What the last look found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    away: bool,
    low: bool,
    reserve_short: bool,
}

impl Watch {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            self = match look(self).await {
                Some(watch) => watch,
                None => return,
            };
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn look(&mut self) {
        let mut seen = self.seen;
        seen.away = match self.directory.check() {
            Ok(()) => false,
            Err(error) => {
                if !self.seen.away {
                    let error = crate::exit::chain(&error);
                    tracing::error!("{error}; nothing is stored until it returns");
                }
                true
            }
        };
        if !seen.away {
            match free_space(self.directory.path()) {
                Ok(disk) => self.judge(disk, &mut seen),
                Err(error) => tracing::warn!("cannot read the free space: {error}"),
            }
        }
        if self.seen.away && !seen.away {
            tracing::warn!("the data directory is back");
        }
        self.receiver.store_away(seen.away);
        self.receiver.hold_events(seen.low);
        self.seen = seen;
    }

    fn judge(&self, disk: FreeSpace, seen: &mut Seen) {
        let least = self.settings.min_free_bytes(disk);
        // Once held, events wait until there is an eighth more, so that they do not come and go.
        let bar = if self.seen.low {
            least + least / 8
        } else {
            least
        };
        seen.low = disk.free_bytes < bar;
        if seen.low != self.seen.low {
            let held = seen.low;
            tracing::warn!(
                free_bytes = disk.free_bytes,
                min_free_bytes = least,
                events_held = held,
                "free space"
            );
        }
        seen.reserve_short = match self.reserve.refill(disk.free_bytes, least) {
            Ok(whole) => !whole,
            Err(error) => {
                if !self.seen.reserve_short {
                    tracing::warn!("cannot fill the reserve for alerts: {error}");
                }
                true
            }
        };
        if seen.reserve_short && !self.seen.reserve_short {
            let kept = self.reserve.kept_bytes();
            tracing::warn!(
                kept_bytes = kept,
                wanted_bytes = self.reserve.wanted_bytes(),
                "the reserve for alerts is short"
            );
        }
    }
}

/// One look, on a thread of its own: a sick file system takes its time. None when it panicked.
async fn look(mut watch: Watch) -> Option<Watch> {
    let look = tokio::task::spawn_blocking(move || {
        watch.look();
        watch
    });
    tokio::pin!(look);
    let looked = match tokio::time::timeout(SLOW_LOOK, &mut look).await {
        Ok(looked) => looked,
        Err(_elapsed) => {
            tracing::warn!("the file system of the data directory does not answer");
            look.await
        }
    };
    looked
        .inspect_err(|error| tracing::error!("the watch over the disk ended: {error}"))
        .ok()
}
