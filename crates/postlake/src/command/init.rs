//! `postlake init`: a commented configuration, secrets in files, and what to enter in SparkPost.

mod template;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use postlake_sparkpost::{ALERTS_PATH, EVENTS_PATH};
use rand::distr::{Alphanumeric, SampleString as _};

use crate::cli::{InitArgs, InitAuth};
use crate::command::output::{print, say};
use crate::exit::{Exit, Failure};

/// Letters and digits of a secret: 62 to the 43rd is a little more than 256 bits.
const SECRET_CHARACTERS: usize = 43;

const CONFIG_FILE: &str = "postlake.toml";

pub(crate) fn run(arguments: &InitArgs) -> Result<ExitCode, Failure> {
    let directory = absolute(&arguments.dir)?;
    let config = directory.join(CONFIG_FILE);
    if config.exists() {
        let message = format!(
            "{} is there already and stays as it is; name another directory, or move it away",
            config.display()
        );
        return Err(Failure::new(Exit::CannotCreate, message));
    }
    fs::create_dir_all(&directory).map_err(failed(&directory))?;
    let mut written = Vec::new();
    for name in secrets(&arguments.auth) {
        let path = directory.join(name);
        let new = write_secret(&path)?;
        written.push((
            path,
            if new {
                "a new secret"
            } else {
                "was there, is kept"
            },
        ));
    }
    let text = template::config(arguments);
    create(&config, text.as_bytes(), 0o644).map_err(failed(&config))?;
    written.insert(0, (config, "the configuration"));
    for (path, what) in &written {
        say(&format!("  {}  ({what})", path.display()));
    }
    for line in instructions(arguments, &directory) {
        print(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn absolute(directory: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(directory).map_err(failed(directory))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let doing = format!("write {}", path.display());
    move |source| Failure::caused(Exit::CannotCreate, doing, source)
}

/// The files that hold secrets, alerts always: a secret in the path is all they can have.
fn secrets(auth: &[InitAuth]) -> Vec<&'static str> {
    let mut files: Vec<_> = auth.iter().map(|auth| auth.file()).collect();
    files.push(template::ALERT_FILE);
    files.dedup();
    files
}

/// True if a secret was made; one that is there is in use and stays.
fn write_secret(path: &Path) -> Result<bool, Failure> {
    let secret = Alphanumeric.sample_string(&mut rand::rng(), SECRET_CHARACTERS);
    match create(path, format!("{secret}\n").as_bytes(), 0o600) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Never opens what is there, not through a link either.
fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn instructions(arguments: &InitArgs, directory: &Path) -> Vec<String> {
    let host = arguments.url.as_deref().unwrap_or("https://<your host>");
    let host = host.trim_end_matches('/');
    let file = |name: &str| directory.join(name).display().to_string();
    let mut lines = vec![
        "in SparkPost, Webhooks > Create:".to_owned(),
        format!("  Target URL      {host}{EVENTS_PATH}"),
    ];
    // One webhook has one kind of authentication; the others are for other webhooks.
    for auth in &arguments.auth {
        lines.extend(form(*auth, host, &file(auth.file())));
    }
    let alert = file(template::ALERT_FILE);
    lines.extend([
        "  Events          all".to_owned(),
        "in SparkPost, Alerts > Create (metric Health Score, raw value above 0, any subaccount):".to_owned(),
        format!("  Webhook         {host}{ALERTS_PATH}/<secret>, where <secret> is what {alert} holds; this prints it:"),
        format!("                  echo \"{host}{ALERTS_PATH}/$(cat '{alert}')\""),
    ]);
    lines.extend(next_steps(arguments, directory));
    lines
}

fn next_steps(arguments: &InitArgs, directory: &Path) -> Vec<String> {
    if arguments.systemd {
        let mut lines = vec![
            "then, with deploy/systemd/postlake.service in /etc/systemd/system and in it"
                .to_owned(),
        ];
        let names = secrets(&arguments.auth).into_iter();
        lines.extend(names.map(|name| {
            let file = directory.join(name);
            format!("  LoadCredential={name}:{}", file.display())
        }));
        lines.push("  systemctl daemon-reload && systemctl enable --now postlake".to_owned());
        return lines;
    }
    let mut lines = vec![
        "then, where the configuration lies:".to_owned(),
        format!("  cd '{}'", directory.display()),
        "  postlake check     is the configuration right, and what is in force".to_owned(),
        "  postlake doctor    disk, clock, ports, certificate, store, secrets".to_owned(),
        "  postlake serve".to_owned(),
    ];
    lines.extend(arguments.auth.first().map(|auth| try_it(*auth)));
    lines
}

/// The command that sends what SparkPost would send.
fn try_it(auth: InitAuth) -> String {
    let (kind, name) = match auth {
        InitAuth::Basic => ("basic", template::USERNAME),
        InitAuth::Oauth2 => ("oauth2", template::CLIENT_ID),
        InitAuth::Header => ("header", template::HEADER),
    };
    let file = auth.file();
    format!("  postlake trigger --auth {kind} --auth-name {name} --auth-file {file}")
}

/// What stands in the form for a kind of authentication. Secrets are named by their file, not shown.
fn form(auth: InitAuth, host: &str, file: &str) -> Vec<String> {
    match auth {
        InitAuth::Basic => vec![
            "  Authentication  Basic".to_owned(),
            format!("    Username      {}", template::USERNAME),
            format!("    Password      what {file} holds"),
        ],
        InitAuth::Oauth2 => vec![
            "  Authentication  OAuth 2.0".to_owned(),
            format!("    Token URL     {host}/oauth/token"),
            format!("    Client ID     {}", template::CLIENT_ID),
            format!("    Client Secret what {file} holds"),
        ],
        InitAuth::Header => vec![
            "  Authentication  None, with a custom header".to_owned(),
            format!("    Header        {}", template::HEADER),
            format!("    Value         what {file} holds"),
        ],
    }
}
