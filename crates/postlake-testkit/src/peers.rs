//! Programs of others that our results are held against, found through the environment.
//!
//! `cargo xtask test` starts them and sets the variables. Without a peer its test prints one line and
//! passes over; with `POSTLAKE_TEST_REQUIRE_PEERS=1` it fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The value of a variable, as [`peers`](self) says.
#[track_caller]
pub fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        let required = std::env::var("POSTLAKE_TEST_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "{name} is not set, and POSTLAKE_TEST_REQUIRE_PEERS is"
        );
        eprintln!("skipped: {name} is not set");
    }
    value
}

/// An S3 store; its credentials are in the `AWS_*` variables.
#[derive(Clone, Debug)]
pub struct S3 {
    /// Its URL.
    pub endpoint: String,
    /// A bucket that is there.
    pub bucket: String,
}

/// The S3 store.
#[track_caller]
pub fn s3() -> Option<S3> {
    Some(S3 {
        endpoint: variable("POSTLAKE_TEST_S3_ENDPOINT")?,
        bucket: variable("POSTLAKE_TEST_S3_BUCKET")?,
    })
}

/// The URL of a PostgreSQL server.
#[track_caller]
pub fn postgres() -> Option<String> {
    variable("POSTLAKE_TEST_POSTGRES")
}

/// A Python with deltalake, duckdb, opentelemetry-proto, polars and pyarrow.
#[derive(Clone, Debug)]
pub struct Python(PathBuf);

/// The Python.
#[track_caller]
pub fn python() -> Option<Python> {
    variable("POSTLAKE_TEST_PYTHON").map(|path| Python(path.into()))
}

impl Python {
    /// Runs a script and reads the JSON that it prints. The S3 peer is in its environment.
    #[track_caller]
    pub fn run(&self, script: &Path, arguments: &[&str]) -> Value {
        self.run_in(script, arguments, &[])
    }

    /// As [`Python::run`], with these variables.
    #[track_caller]
    pub fn run_in(
        &self,
        script: &Path,
        arguments: &[&str],
        environment: &[(&'static str, String)],
    ) -> Value {
        let mut command = Command::new(&self.0);
        command.arg(script).args(arguments);
        if let Ok(endpoint) = std::env::var("POSTLAKE_TEST_S3_ENDPOINT") {
            command.env("AWS_ENDPOINT_URL", endpoint);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        json_of(&mut command)
    }
}

/// An emulator of AWS, and a Python with its client.
#[derive(Clone, Debug)]
pub struct Aws {
    /// Its URL, for every service.
    pub endpoint: String,
    python: PathBuf,
}

/// The emulator.
#[track_caller]
pub fn aws() -> Option<Aws> {
    Some(Aws {
        endpoint: variable("POSTLAKE_TEST_AWS")?,
        python: variable("POSTLAKE_TEST_AWS_PYTHON")?.into(),
    })
}

impl Aws {
    /// Runs a script and reads the JSON that it prints. The emulator is in its environment.
    #[track_caller]
    pub fn run(&self, script: &Path, arguments: &[&str]) -> Value {
        let mut command = Command::new(&self.python);
        command.arg(script).args(arguments).envs(self.environment());
        json_of(&mut command)
    }

    /// Who asks whom, for the emulator's clients.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        let value = str::to_owned;
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", value("test")),
            ("AWS_SECRET_ACCESS_KEY", value("test")),
            ("AWS_REGION", value("us-east-1")),
            ("AWS_DEFAULT_REGION", value("us-east-1")),
        ]
    }
}

/// A browser and what drives it.
#[derive(Clone, Debug)]
pub struct Browser {
    chromium: String,
    modules: String,
}

/// The browser.
#[track_caller]
pub fn browser() -> Option<Browser> {
    Some(Browser {
        chromium: variable("POSTLAKE_TEST_CHROMIUM")?,
        modules: variable("POSTLAKE_TEST_NODE_MODULES")?,
    })
}

impl Browser {
    /// Runs a node script (its first argument is the browser) and reads the JSON that it prints.
    #[track_caller]
    pub fn run(&self, script: &Path, arguments: &[&str]) -> Value {
        let mut command = Command::new("node");
        command
            .arg(script)
            .arg(&self.chromium)
            .args(arguments)
            .env("NODE_PATH", &self.modules);
        json_of(&mut command)
    }
}

/// The JSON that a program prints.
#[track_caller]
fn json_of(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}",
        output.status
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{command:?}: {error}\n{}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}
