//! `postlake top`: two looks at a running server, and what happened between them.

mod view;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use console::Term;

use crate::admin::status::Status;
use crate::cli::TopArgs;
use crate::command::output::print;
use crate::exit::{Exit, Failure};

/// Longest wait for an answer of a listener on this machine.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn run(arguments: TopArgs) -> Result<ExitCode, Failure> {
    let server = Server::new(&arguments.url)?;
    if arguments.json {
        print(&server.text().await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut before = server.look().await?;
    if arguments.once || !std::io::stdout().is_terminal() {
        tokio::time::sleep(arguments.interval).await;
        let now = server.look().await?;
        for line in view::lines(&arguments.url, &before, &now) {
            print(&line)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let screen = Term::stdout();
    let mut shown = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(arguments.interval) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
        let lines = match server.look().await {
            Ok(now) => {
                let lines = view::lines(&arguments.url, &before, &now);
                before = now;
                lines
            }
            Err(failure) => vec![format!(
                "{failure}; asked again every {:?}",
                arguments.interval
            )],
        };
        let failed = |source| Failure::caused(Exit::Io, "write to the terminal", source);
        screen.clear_last_lines(shown).map_err(failed)?;
        shown = lines.len();
        for line in &lines {
            let width = usize::from(screen.size().1);
            screen
                .write_line(&console::truncate_str(line, width, "…"))
                .map_err(failed)?;
        }
    }
}

struct Server {
    client: reqwest::Client,
    url: String,
}

impl Server {
    fn new(url: &str) -> Result<Server, Failure> {
        let base = url.trim_end_matches('/');
        let url = match base.contains("://") {
            true => format!("{base}/api/v1/status"),
            false => format!("http://{base}/api/v1/status"),
        };
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map_err(|source| Failure::caused(Exit::Failure, "set up the client", source))?;
        Ok(Server { client, url })
    }

    async fn text(&self) -> Result<String, Failure> {
        let failed = |source: reqwest::Error| {
            let doing = match source.is_connect() {
                true => format!(
                    "ask the admin listener at {} (does a server run there? at its start it says where `admin` is)",
                    self.url
                ),
                false => format!("ask the admin listener at {}", self.url),
            };
            Failure::caused(Exit::Unavailable, doing, source.without_url())
        };
        let answer = self.client.get(&self.url).send().await.map_err(failed)?;
        let answer = answer.error_for_status().map_err(failed)?;
        answer.text().await.map_err(failed)
    }

    async fn look(&self) -> Result<Status, Failure> {
        let text = self.text().await?;
        serde_json::from_str(&text).map_err(|source| {
            let doing = format!("read the status that {} sends (another release?)", self.url);
            Failure::caused(Exit::Data, doing, source)
        })
    }
}
