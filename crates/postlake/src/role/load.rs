//! The load role: passes one after the other, on threads of their own so that decoding never stands
//! in the way of an answer.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use postlake_event::sink::Sink;
use postlake_lake::Lake;
use postlake_loader::{Backlog, Delivered, LoadError, Loader, PassReport, deliver_pending};
use postlake_raw::data_directory::free_space;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Vitals;
use crate::config::{DiskSettings, Settings};
use crate::exit::{Exit, Failure, chain};
use crate::wire;

/// Without a hint the store is listed this often: another receiver may write to it. Listing S3 costs
/// money.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
const POLL_INTERVAL_DIRECTORY: Duration = Duration::from_secs(2);

/// Waits between two failed passes, and before a loader that broke off starts over, doubling from
/// the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How often a nearly full disk is looked at.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// A loader that ran this long is taken for a good one: the next pause is a short one again.
const STEADY: Duration = Duration::from_secs(60);

/// While there is a backlog, sinks get what is loaded at least this often.
const DELIVER_INTERVAL: Duration = Duration::from_secs(10);

/// While there is a backlog, it is measured at most this often.
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);

/// How often is looked whether the loader has ended.
const END_INTERVAL: Duration = Duration::from_millis(10);

/// How long a loader whose time is over may take to notice it. One that decodes does not look up.
const GRACE: Duration = Duration::from_millis(500);

/// A running loader.
pub(crate) struct Loading {
    thread: JoinHandle<bool>,
    stop: Arc<Order>,
}

/// The order to stop, which leaves time until a moment for what is there.
#[derive(Debug, Default)]
struct Order {
    given: CancellationToken,
    until: OnceLock<Instant>,
}

impl Order {
    fn give(&self, until: Instant) {
        self.until.get_or_init(|| until);
        self.given.cancel();
    }

    fn is_given(&self) -> bool {
        self.given.is_cancelled()
    }

    async fn given(&self) {
        self.given.cancelled().await;
    }

    /// Returns when the order is given and its time is over.
    async fn over(&self) {
        self.given().await;
        tokio::time::sleep_until(self.until()).await;
    }

    /// Now, as long as it is not given.
    fn until(&self) -> Instant {
        self.until.get().copied().unwrap_or_else(Instant::now)
    }
}

/// Starts passes. `hint` wakes the loader; it never carries what to load.
///
/// # Errors
/// When the stores cannot be set up or there is no thread to be had.
pub(crate) fn start(
    settings: &Settings,
    hint: Arc<Notify>,
    vitals: Arc<Vitals>,
) -> Result<Loading, Failure> {
    vitals.has_loader(settings.sinks.iter().map(|sink| sink.name.as_str()));
    let stop = Arc::<Order>::default();
    let first = Work::new(settings, &hint, &stop, &vitals)?;
    let failed = |source| Failure::caused(Exit::Failure, "start the loader", source);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One reads and decodes ahead, the other writes.
        .worker_threads(2)
        .thread_name("load")
        .enable_all()
        .build()
        .map_err(failed)?;
    let (settings, order) = (settings.clone(), Arc::clone(&stop));
    let thread = std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || {
            let complete = keep_running(&runtime, &settings, &hint, &order, &vitals, first);
            // Its threads end with the process. What a cut pass has left to them is not waited for, and
            // a library would panic without its runtime.
            std::mem::forget(runtime);
            complete
        })
        .map_err(failed)?;
    Ok(Loading { thread, stop })
}

/// A defect in one pass must not end loading for good: the loader starts over from the lake.
fn keep_running(
    runtime: &Runtime,
    settings: &Settings,
    hint: &Arc<Notify>,
    stop: &Arc<Order>,
    vitals: &Arc<Vitals>,
    first: Work,
) -> bool {
    let mut work = first;
    let mut pause = BACK_OFF.0;
    loop {
        let started = Instant::now();
        match runtime.block_on(runtime.spawn(work.run())) {
            Ok(complete) => return complete,
            Err(error) => {
                vitals.pass_failed();
                tracing::error!("the loader broke off and starts over: {error}");
            }
        }
        if started.elapsed() > STEADY {
            pause = BACK_OFF.0;
        }
        work = loop {
            runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.given() => {}
                }
            });
            if stop.is_given() {
                return false;
            }
            pause = (pause * 2).min(BACK_OFF.1);
            match Work::new(settings, hint, stop, vitals) {
                Ok(work) => break work,
                // The data directory is away, say; it comes back.
                Err(failure) => {
                    tracing::error!("the loader cannot start over: {}", chain(&failure));
                }
            }
        };
    }
}

impl Loading {
    /// Loads and delivers all that is there, until that moment at most, then stops. True if everything
    /// was loaded and delivered. A pass is cut between two steps, and one that does not get there is
    /// left behind: what is half done at the end of the process is as safe as in a crash.
    pub(crate) async fn drain(self, until: Instant) -> bool {
        self.stop.give(until);
        let ends = async {
            while !self.thread.is_finished() {
                tokio::time::sleep(END_INTERVAL).await;
            }
        };
        match tokio::time::timeout_at(until.max(Instant::now()) + GRACE, ends).await {
            Ok(()) => matches!(self.thread.join(), Ok(true)),
            Err(_elapsed) => {
                tracing::warn!("the loader is left behind in the midst of a step");
                false
            }
        }
    }
}

struct Work {
    loader: Loader,
    lake: Lake,
    sinks: Vec<Box<dyn Sink>>,
    hint: Arc<Notify>,
    interval: Duration,
    /// The data directory, if it is one, and how much of its disk is left alone.
    disk: Option<(PathBuf, DiskSettings)>,
    stop: Arc<Order>,
    vitals: Arc<Vitals>,
    /// The last round left something to load.
    unfinished: bool,
    /// When the backlog was last measured.
    measured: Option<Instant>,
}

impl Work {
    fn new(
        settings: &Settings,
        hint: &Arc<Notify>,
        stop: &Arc<Order>,
        vitals: &Arc<Vitals>,
    ) -> Result<Work, Failure> {
        Ok(Work {
            loader: wire::loader(settings)?,
            lake: wire::lake(&settings.data)?,
            sinks: wire::sinks(settings)?,
            hint: Arc::clone(hint),
            interval: settings.load.interval,
            disk: settings
                .data
                .directory()
                .map(|directory| (directory.to_owned(), settings.disk)),
            stop: Arc::clone(stop),
            vitals: Arc::clone(vitals),
            unfinished: false,
            measured: None,
        })
    }

    async fn run(mut self) -> bool {
        let mut back_off = BACK_OFF.0;
        loop {
            let started = Instant::now();
            self.wait_for_space().await;
            match self.load_or_stop().await {
                Ok(()) => back_off = BACK_OFF.0,
                Err(error) if error.is_conflict() => {
                    self.vitals.turned_back();
                    tracing::info!("another loader is at work on this lake");
                }
                Err(error) => {
                    self.vitals.pass_failed();
                    tracing::error!("loading failed and is tried again: {}", chain(&error));
                    self.pause(back_off).await;
                    back_off = (back_off * 2).min(BACK_OFF.1);
                    if !self.stop.is_given() {
                        continue;
                    }
                }
            }
            if self.stop.is_given() {
                return self.last_passes().await;
            }
            if !self.unfinished {
                self.wait(started).await;
            }
        }
    }

    /// On a disk that is nearly full, what is left is for alerts: a pass that fails for want of space
    /// would take it and leave half a file behind.
    async fn wait_for_space(&self) {
        let mut waits = false;
        while !self.stop.is_given() && self.lacks_space().await {
            if !waits {
                tracing::warn!("the disk is nearly full; nothing is loaded until there is space");
                waits = true;
            }
            self.pause(SPACE_INTERVAL).await;
        }
        if waits {
            tracing::info!("loading goes on");
        }
    }

    /// False also when nobody can say: the pass will find out.
    async fn lacks_space(&self) -> bool {
        let Some((directory, settings)) = self.disk.clone() else {
            return false;
        };
        let look = move || {
            free_space(&directory).map(|disk| disk.free_bytes < settings.loads_nothing_below(disk))
        };
        let looked = tokio::task::spawn_blocking(look).await;
        matches!(looked, Ok(Ok(true)))
    }

    /// Until the next hint or poll, but not before the interval is over.
    async fn wait(&self, started: Instant) {
        let poll = match self.disk {
            Some(_) => POLL_INTERVAL_DIRECTORY,
            None => POLL_INTERVAL,
        };
        tokio::select! {
            () = self.hint.notified() => {}
            () = tokio::time::sleep(poll) => {}
            () = self.stop.given() => return,
        }
        tokio::select! {
            () = tokio::time::sleep_until(started + self.interval) => {}
            () = self.stop.given() => {}
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.given() => {}
        }
    }

    /// A round of passes; cut off when the time after the order to stop is over, which is as safe as a
    /// crash.
    async fn load_or_stop(&mut self) -> Result<(), LoadError> {
        let stop = Arc::clone(&self.stop);
        tokio::select! {
            done = self.load_all() => done,
            () = stop.over() => {
                self.unfinished = true;
                Ok(())
            }
        }
    }

    async fn load_all(&mut self) -> Result<(), LoadError> {
        let started = Instant::now();
        self.unfinished = false;
        self.vitals.round_began();
        loop {
            let report = self.loader.pass().await?;
            self.note(&report);
            // After the first pass already: whoever starts on a long backlog wants to know how long.
            self.measure_backlog(&report).await?;
            if !report.more {
                break;
            }
            // A long backlog must hold up neither the sinks nor the end.
            if self.stop.is_given() || started.elapsed() > DELIVER_INTERVAL {
                self.unfinished = true;
                break;
            }
        }
        for sink in &self.sinks {
            // A sink that fails holds up neither the lake nor the other sinks.
            if let Err(error) = self.deliver(sink.as_ref()).await {
                tracing::error!(sink.name = sink.name(), "{}", chain(&error));
            }
        }
        Ok(())
    }

    fn note(&self, report: &PassReport) {
        if report.batches > 0 {
            tracing::debug!(?report, "pass");
        }
        let versions: Vec<_> = self.loader.versions();
        let versions: Vec<_> = versions
            .iter()
            .map(|(table, version)| (table.name(), *version))
            .collect();
        self.vitals.passed(report, &versions);
    }

    /// A pass that came to the end has left nothing; otherwise a listing says what it has left, but
    /// not after each.
    async fn measure_backlog(&mut self, last: &PassReport) -> Result<(), LoadError> {
        if !last.more && last.blocked_streams == 0 {
            self.vitals.left(&Backlog::default());
            return Ok(());
        }
        if self
            .measured
            .is_none_or(|measured| measured.elapsed() > MEASURE_INTERVAL)
        {
            self.vitals.left(&self.loader.backlog().await?);
            self.measured = Some(Instant::now());
        }
        Ok(())
    }

    async fn deliver(&self, sink: &dyn Sink) -> Result<(), LoadError> {
        let mut delivered = Delivered::default();
        let ended = deliver_pending(&self.lake, sink, &mut delivered).await;
        self.vitals
            .delivered(sink.name(), &delivered, ended.is_err());
        ended
    }

    /// What is still there when the receiver has ended. True if all of it was loaded and delivered.
    async fn last_passes(&mut self) -> bool {
        let until = self.stop.until();
        while Instant::now() < until {
            match tokio::time::timeout_at(until, self.load_all()).await {
                Ok(Ok(())) if self.unfinished => {}
                Ok(Ok(())) => return self.delivered_all(until).await,
                Ok(Err(error)) if error.is_conflict() => {}
                Ok(Err(error)) => {
                    tracing::error!("loading failed: {}", chain(&error));
                    return false;
                }
                Err(_elapsed) => break,
            }
        }
        tracing::warn!("not everything was loaded; the next start goes on with it");
        false
    }

    async fn delivered_all(&self, until: Instant) -> bool {
        for sink in &self.sinks {
            let delivery = self.deliver(sink.as_ref());
            if !matches!(tokio::time::timeout_at(until, delivery).await, Ok(Ok(()))) {
                return false;
            }
        }
        true
    }
}
