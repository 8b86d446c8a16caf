//! Keeps the read process running: started again when it ends, with growing pauses, on the same socket.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::admin::ReadNotes;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::role::read::{LISTENER_IS_STDIN, SERVER_PID};
use crate::sockets::{ListenerName, Sockets};
use crate::telemetry;

/// Pauses before a restart, doubling from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// A process that ran this long is taken for a good one: the next pause is a short one again.
const STEADY: Duration = Duration::from_secs(60);

/// How long the process may take to end when asked.
const GRACE: Duration = Duration::from_secs(5);

/// A supervised read process.
pub(crate) struct Supervised {
    task: JoinHandle<()>,
    stop: CancellationToken,
    pub(crate) address: SocketAddr,
}

/// Binds the read listener and starts the process on it.
///
/// # Errors
/// When the address is taken or this program cannot be started again.
pub(crate) fn start(
    settings: &Settings,
    ingest: Option<SocketAddr>,
    notes: Arc<ReadNotes>,
    sockets: &Sockets,
) -> Result<Supervised, Failure> {
    let failed = |source| Failure::caused(Exit::Unavailable, "start the read process", source);
    let listener = sockets
        .listen(ListenerName::Read, settings.read_listen)?
        .into_std()
        .map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let reader = Reader {
        program: std::env::current_exe().map_err(failed)?,
        data: settings.data.to_string(),
        config: settings.file.clone(),
        ingest: ingest.unwrap_or(settings.ingest_listen).to_string(),
        kept_back: settings.auth.variables().map(str::to_owned).collect(),
        listener,
    };
    let first = reader.start().map_err(failed)?;
    notes.started();
    let stop = CancellationToken::new();
    let task = tokio::spawn(keep_running(reader, first, stop.clone(), notes));
    Ok(Supervised {
        task,
        stop,
        address,
    })
}

impl Supervised {
    /// Ends the process: asked first, killed if it has not ended then.
    pub(crate) async fn stop(mut self, until: Instant) {
        self.stop.cancel();
        match timeout_at(until, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!("the supervisor of the read process ended badly: {error}");
            }
            // The process is killed with its supervisor.
            Err(_elapsed) => self.task.abort(),
        }
    }
}

struct Reader {
    program: std::path::PathBuf,
    data: String,
    config: Option<std::path::PathBuf>,
    ingest: String,
    /// Variables that hold secrets of the ingest listener: no question may come near them.
    kept_back: Vec<String>,
    listener: TcpListener,
}

impl Reader {
    fn start(&self) -> std::io::Result<Child> {
        let socket = OwnedFd::from(self.listener.try_clone()?);
        let mut command = Command::new(&self.program);
        command.args(["serve", "--role", "read", "--data", &self.data]);
        if let Some(file) = &self.config {
            command.arg("--config").arg(file);
        }
        for variable in &self.kept_back {
            command.env_remove(variable);
        }
        command
            .env(LISTENER_IS_STDIN, &self.ingest)
            .env(SERVER_PID, std::process::id().to_string())
            .env(telemetry::FORMAT_VARIABLE, telemetry::format_name())
            .stdin(Stdio::from(socket))
            // Ctrl-C is for the server, which ends this process when it has drained.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

async fn keep_running(
    reader: Reader,
    first: Child,
    stop: CancellationToken,
    notes: Arc<ReadNotes>,
) {
    let mut child = first;
    let mut pause = PAUSES.0;
    loop {
        let started = Instant::now();
        tokio::select! {
            ended = child.wait() => match ended {
                Ok(status) => tracing::warn!("the read process ended ({status}) and is started again"),
                Err(error) => tracing::error!("cannot wait for the read process: {error}"),
            },
            () = stop.cancelled() => return end(child).await,
        }
        notes.ended();
        if started.elapsed() > STEADY {
            pause = PAUSES.0;
        }
        child = loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = (pause * 2).min(PAUSES.1);
            match reader.start() {
                Ok(child) => {
                    notes.started();
                    break child;
                }
                Err(error) => tracing::error!("cannot start the read process: {error}"),
            }
        };
    }
}

async fn end(mut child: Child) {
    let asked = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw)
        .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
    let ended = tokio::time::timeout(GRACE, child.wait()).await;
    if (ended.is_err() || !matches!(asked, Some(Ok(()))))
        && let Err(error) = child.kill().await
    {
        tracing::warn!("cannot end the read process: {error}");
    }
}
