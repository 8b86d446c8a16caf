//! The servers and engines that the tests talk to, on loopback, with data that is thrown away.
//!
//! Each is tried once before the tests see it. Whatever ends this process, the keeper ends the
//! servers and removes their data.

mod authority;
mod aws;
mod ceph;
mod engines;
mod keeper;
mod postgres;
mod ready;

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::install::{self, Tools};
use crate::steps::seconds;
use keeper::Keeper;

/// Servers that run until this is dropped.
pub(crate) struct Peers {
    variables: Vec<(String, String)>,
    _keeper: Keeper,
}

impl Peers {
    /// How the tests find them: names and values for the environment.
    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }
}

/// `cargo xtask peers`: the servers until an interrupt; standard output is for a shell to read.
pub(crate) fn run() -> Result<()> {
    let peers = start(&install::all()?)?;
    for (name, value) in peers.variables() {
        println!("export {name}='{value}'");
    }
    eprintln!("the servers run until this process ends");
    loop {
        thread::park();
    }
}

/// On `Ok` every server answers and every engine works; on `Err` none is left running.
pub(crate) fn start(tools: &Tools) -> Result<Peers> {
    let mut keeper = Keeper::start()?;
    let postgres = timed("PostgreSQL", || postgres::start(&mut keeper, tools))?;
    let store = timed("S3 (Ceph)", || ceph::start(&mut keeper, tools))?;
    let aws = timed("AWS (ministack)", || aws::start(&mut keeper, tools))?;
    let dynoxide = timed("DynamoDB (dynoxide)", || {
        aws::start_dynoxide(&mut keeper, tools)
    })?;
    timed("Python engines", || engines::try_python(&mut keeper, tools))?;
    timed("Chromium", || engines::try_chromium(&mut keeper, tools))?;
    timed("ACME (Pebble)", || {
        authority::try_pebble(&mut keeper, tools)
    })?;

    let path = |path: &std::path::Path| path.display().to_string();
    let variables = [
        ("POSTLAKE_TEST_S3_ENDPOINT", store.endpoint),
        ("POSTLAKE_TEST_S3_BUCKET", store.bucket.to_owned()),
        ("AWS_ACCESS_KEY_ID", store.access_key.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", store.secret_key.to_owned()),
        ("AWS_REGION", store.region.to_owned()),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("POSTLAKE_TEST_AWS", aws),
        ("POSTLAKE_TEST_AWS_PYTHON", path(&tools.python_of_aws)),
        ("POSTLAKE_TEST_DYNOXIDE", dynoxide),
        ("POSTLAKE_TEST_CFN_LINT", path(&tools.cfn_lint)),
        (
            "POSTLAKE_TEST_OPENAPI_VALIDATOR",
            path(&tools.openapi_validator),
        ),
        ("POSTLAKE_TEST_POSTGRES", postgres),
        ("POSTLAKE_TEST_PYTHON", path(&tools.python)),
        ("POSTLAKE_TEST_CHROMIUM", path(&tools.chromium)),
        ("POSTLAKE_TEST_NODE_MODULES", path(&tools.node_modules)),
        ("POSTLAKE_TEST_PEBBLE", path(&tools.pebble)),
        ("POSTLAKE_TEST_REQUIRE_PEERS", "1".to_owned()),
    ];
    let variables = variables
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
    Ok(Peers {
        variables,
        _keeper: keeper,
    })
}

fn timed<T>(what: &str, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let value = action().with_context(|| format!("start {what}"))?;
    eprintln!(
        "{what}: works, after {}",
        seconds(start.elapsed()).trim_start()
    );
    Ok(value)
}
