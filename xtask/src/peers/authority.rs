//! An authority for certificates: Pebble, the test server of Let's Encrypt. It is tried once here; each
//! test starts its own, since one looks at one port only and a test wants to see it go down.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::keeper::{Keeper, Stop};
use super::ready::{free_port, wait};
use crate::install::Tools;

const START_LIMIT: Duration = Duration::from_secs(60);

/// On `Ok` it has listened.
pub(super) fn try_pebble(keeper: &mut Keeper, tools: &Tools) -> Result<()> {
    let folder = keeper.folder("pebble")?;
    own_certificate(keeper, &folder)?;
    let (port, management) = (free_port()?, free_port()?);
    let config = format!(
        "{{ \"pebble\": {{ \"listenAddress\": \"127.0.0.1:{port}\", \"managementListenAddress\": \
         \"127.0.0.1:{management}\", \"certificate\": \"cert.pem\", \"privateKey\": \"key.pem\", \
         \"httpPort\": {port}, \"tlsPort\": {port} }} }}"
    );
    fs::write(folder.join("pebble.json"), config).context("write pebble.json")?;
    let mut pebble = Command::new(&tools.pebble);
    pebble.args(["-config", "pebble.json"]).current_dir(&folder);
    let server = keeper.spawn("authority", &mut pebble, &folder, Stop::Kill)?;
    wait(keeper, &server, START_LIMIT, |_| {
        TcpStream::connect(("127.0.0.1", port)).context("connect to it")?;
        Ok(())
    })
}

/// It speaks HTTPS only.
fn own_certificate(keeper: &mut Keeper, folder: &Path) -> Result<()> {
    let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let files = "-keyout key.pem -out cert.pem -days 1 -subj /CN=localhost";
    let mut openssl = Command::new("openssl");
    openssl
        .args(key.split(' ').chain(files.split(' ')))
        .current_dir(folder);
    keeper.run(&mut openssl)?;
    Ok(())
}
