//! What others build a receiver of webhooks with: small servers of `bench/peers/` that store each body
//! in a file of its own before they answer.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::bench::measured::Server;
use crate::install;
use crate::program::find;

const REQUIREMENTS: &str = include_str!("../../../../bench/peers/requirements.txt");
const NGINX_CONF: &str = include_str!("../../../../bench/peers/nginx.conf");
/// Where Debian's packages put nginx's modules, and the one that is needed.
const NGINX_MODULES: &str = "/usr/lib/nginx/modules";
const NGINX_MODULE: &str = "ngx_http_js_module.so";
const NGINX_PACKAGES: &[&str] = &["nginx-light", "libnginx-mod-http-js"];

/// On what a peer is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    FastApi,
    Node,
    Nginx,
}

/// A platform in one of its settings.
#[derive(Debug, Clone, Copy)]
struct Setting {
    name: &'static str,
    platform: Platform,
    /// Whether file and folder are synced before the answer.
    sync: bool,
}

const SETTINGS: [Setting; 5] = [
    setting("FastAPI, fsync", Platform::FastApi, true),
    setting("Node http, fsync", Platform::Node, true),
    setting("FastAPI", Platform::FastApi, false),
    setting("Node http", Platform::Node, false),
    setting("nginx with njs", Platform::Nginx, false),
];

const fn setting(name: &'static str, platform: Platform, sync: bool) -> Setting {
    Setting {
        name,
        platform,
        sync,
    }
}

/// A peer that can be started here.
#[derive(Debug)]
pub(super) struct Peer {
    setting: Setting,
    program: PathBuf,
    scripts: PathBuf,
}

/// A peer that cannot be started here, and why.
#[derive(Debug)]
pub(super) struct Absent {
    pub(super) name: &'static str,
    pub(super) reason: String,
}

/// Who is there; what is missing is installed where that is possible.
pub(super) fn look(root: &Path) -> (Vec<Peer>, Vec<Absent>) {
    let (mut there, mut absent) = (Vec::new(), Vec::new());
    let platforms = [Platform::FastApi, Platform::Node, Platform::Nginx].map(|platform| {
        let program = platform.program().map_err(|error| format!("{error:#}"));
        (platform, program)
    });
    for setting in SETTINGS {
        let program = platforms
            .iter()
            .find(|(platform, _)| *platform == setting.platform);
        match program {
            Some((_, Ok(program))) => there.push(Peer {
                setting,
                program: program.clone(),
                scripts: root.join("bench/peers"),
            }),
            Some((_, Err(reason))) => absent.push(Absent {
                name: setting.name,
                reason: first_line(reason),
            }),
            None => {}
        }
    }
    (there, absent)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Platform {
    fn program(self) -> Result<PathBuf> {
        match self {
            Self::FastApi => install::python_of_peers(REQUIREMENTS),
            Self::Node => find("node").context("node is not on the search path"),
            Self::Nginx => nginx(),
        }
    }
}

fn nginx() -> Result<PathBuf> {
    let module = Path::new(NGINX_MODULES).join(NGINX_MODULE);
    // Debian keeps it out of the search path of people who are not root.
    let place = || {
        find("nginx")
            .or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|path| path.is_file()))
    };
    if place().is_none() || !module.is_file() {
        install::debian_packages(NGINX_PACKAGES)?;
    }
    match place() {
        Some(program) if module.is_file() => Ok(program),
        _ => bail!("nginx and its module njs are not installed"),
    }
}

impl Peer {
    pub(super) fn name(&self) -> &'static str {
        self.setting.name
    }

    pub(super) fn syncs(&self) -> bool {
        self.setting.sync
    }

    /// Starts it with an empty `folder`; the bodies go into the folder that is returned.
    pub(super) fn start(&self, folder: &Path) -> Result<(Server, PathBuf)> {
        let store = folder.join("store");
        fs::create_dir_all(&store).context("create a peer's folder")?;
        let address = free_address()?;
        let mut command = self.command(folder, address)?;
        command
            .env("PEER_FOLDER", &store)
            .env("PEER_PORT", address.port().to_string())
            .env("PEER_SYNC", if self.setting.sync { "1" } else { "0" })
            .current_dir(&self.scripts);
        Ok((Server::start_at(&mut command, address)?, store))
    }

    fn command(&self, folder: &Path, address: SocketAddr) -> Result<Command> {
        let mut command = Command::new(&self.program);
        match self.setting.platform {
            Platform::FastApi => {
                let words = ["-B", "-m", "uvicorn", "fastapi_store:app", "--workers", "1"];
                let quiet = [
                    "--no-access-log",
                    "--log-level",
                    "error",
                    "--host",
                    "127.0.0.1",
                ];
                command.args(words).args(quiet);
                command.args(["--port", &address.port().to_string()]);
            }
            Platform::Node => {
                command.arg("node_store.cjs");
            }
            Platform::Nginx => {
                let path = folder.join("nginx.conf");
                fs::write(&path, self.nginx_conf(folder, address)).context("write nginx.conf")?;
                command.arg("-p").arg(folder).arg("-c").arg(path);
            }
        }
        Ok(command)
    }

    fn nginx_conf(&self, folder: &Path, address: SocketAddr) -> String {
        NGINX_CONF
            .replace("@MODULES@", NGINX_MODULES)
            .replace("@SCRIPTS@", &self.scripts.to_string_lossy())
            .replace("@FOLDER@", &folder.to_string_lossy())
            .replace("@PORT@", &address.port().to_string())
    }
}

/// An address that nobody listens on: the peers cannot say which one the system gave them.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    listener.local_addr().context("read a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_no_words_left_to_replace() {
        let peer = Peer {
            setting: setting("nginx with njs", Platform::Nginx, false),
            program: PathBuf::new(),
            scripts: PathBuf::from("scripts"),
        };
        let text = peer.nginx_conf(Path::new("folder"), SocketAddr::from(([127, 0, 0, 1], 81)));
        assert!(text.contains("listen 127.0.0.1:81;") && text.contains("js_path scripts;"));
        let settings = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        assert_eq!(settings.filter(|line| line.contains('@')).count(), 0);
    }
}
