//! An S3 store: Ceph's gateway over one monitor and one object server, each a process of ours.
//!
//! A real store: it checks signatures and creates only-if-absent atomically. It starts in about
//! twenty seconds, most of which the gateway spends on its pools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::keeper::{Keeper, Server, Stop};
use super::ready::{free_port, wait};
use crate::install::Tools;
use crate::program::quiet;

const ACCESS_KEY: &str = "postlake-test";
const SECRET_KEY: &str = "postlake-test-secret";
const BUCKET: &str = "postlake-test";
const REGION: &str = "us-east-1";
const START_LIMIT: Duration = Duration::from_secs(240);
const PROBE: &str = include_str!("s3_probe.py");

/// Where the store answers and who may use it.
pub(super) struct Store {
    pub(super) endpoint: String,
    pub(super) bucket: &'static str,
    pub(super) access_key: &'static str,
    pub(super) secret_key: &'static str,
    pub(super) region: &'static str,
}

/// One cluster: its folder, its name, its ports.
struct Cluster {
    folder: PathBuf,
    id: String,
    monitor_port: u16,
    gateway_port: u16,
}

/// On `Ok` the bucket exists and one key was created once and refused the second time.
pub(super) fn start(keeper: &mut Keeper, tools: &Tools) -> Result<Store> {
    let cluster = Cluster {
        folder: keeper.folder("ceph")?,
        id: random_uuid()?,
        monitor_port: free_port()?,
        gateway_port: free_port()?,
    };
    cluster.write_files()?;
    cluster.start_monitor(keeper)?;
    let objects = cluster.start_object_server(keeper)?;
    if let Err(error) = cluster.start_gateway(keeper, tools) {
        // Without the object server everything waits; then its log is what tells.
        keeper.ensure_running(&objects)?;
        return Err(error);
    }
    Ok(Store {
        endpoint: format!("http://127.0.0.1:{}", cluster.gateway_port),
        bucket: BUCKET,
        access_key: ACCESS_KEY,
        secret_key: SECRET_KEY,
        region: REGION,
    })
}

impl Cluster {
    fn write_files(&self) -> Result<()> {
        for part in ["run", "mon", "osd", "rgw"] {
            fs::create_dir(self.folder.join(part)).with_context(|| format!("create {part}"))?;
        }
        let key = || quiet(Command::new("ceph-authtool").arg("--gen-print-key"));
        let keyring = keyring([&key()?, &key()?, &key()?, &key()?]);
        self.write("keyring", &keyring)?;
        self.write("ceph.conf", &self.configuration())
    }

    fn start_monitor(&self, keeper: &mut Keeper) -> Result<()> {
        let map = self.folder.join("monmap");
        let address = format!("[v1:127.0.0.1:{}]", self.monitor_port);
        keeper.run(
            self.command("monmaptool")
                .args(["--create", "--addv", "a", &address, "--fsid", &self.id])
                .arg(&map),
        )?;
        let mut create = self.command("ceph-mon");
        create
            .args(["--mkfs", "-i", "a", "--monmap"])
            .arg(&map)
            .arg("--keyring")
            .arg(self.folder.join("keyring"));
        keeper.run(&mut create)?;
        let monitor = keeper.spawn(
            "monitor",
            self.command("ceph-mon").args(["-f", "-i", "a"]),
            &self.folder,
            Stop::Kill,
        )?;
        wait(keeper, &monitor, START_LIMIT, |keeper| {
            self.ask(keeper, &["--connect-timeout", "20", "status"])
        })
    }

    fn start_object_server(&self, keeper: &mut Keeper) -> Result<Server> {
        let id = random_uuid()?;
        self.ask(
            keeper,
            &["--connect-timeout", "120", "osd", "new", &id, "0"],
        )?;
        keeper.run(
            self.command("ceph-osd")
                .args(["-i", "0", "--mkfs", "--osd-uuid", &id]),
        )?;
        let server = keeper.spawn(
            "objects",
            self.command("ceph-osd").args(["-f", "-i", "0"]),
            &self.folder,
            Stop::Kill,
        )?;
        keeper.ensure_running(&server)?;
        Ok(server)
    }

    fn start_gateway(&self, keeper: &mut Keeper, tools: &Tools) -> Result<()> {
        let gateway = keeper.spawn(
            "gateway",
            self.command("radosgw").args(["-f", "-n", "client.rgw"]),
            &self.folder,
            Stop::Kill,
        )?;
        let user = ["user", "create", "--uid", "test", "--display-name", "test"];
        let keys = ["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY];
        keeper.run(
            self.command("radosgw-admin")
                .args(["-n", "client.admin"])
                .args(user)
                .args(keys),
        )?;
        wait(keeper, &gateway, START_LIMIT, |keeper| {
            self.probe(keeper, tools)
        })
    }

    /// Creates the bucket and one key twice; `Err` says which answer was not the expected one.
    fn probe(&self, keeper: &mut Keeper, tools: &Tools) -> Result<()> {
        let address = format!("127.0.0.1:{}", self.gateway_port);
        let arguments = [PROBE, &address, ACCESS_KEY, SECRET_KEY, REGION, BUCKET];
        keeper.run(Command::new(&tools.python).arg("-c").args(arguments))?;
        Ok(())
    }

    fn ask(&self, keeper: &mut Keeper, arguments: &[&str]) -> Result<()> {
        keeper.run(self.command("ceph").args(arguments))?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("CEPH_CONF", self.folder.join("ceph.conf"));
        command.env_remove("CEPH_ARGS").current_dir(&self.folder);
        command
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.folder.join(name), text).with_context(|| format!("write {name}"))
    }

    fn configuration(&self) -> String {
        let Self {
            id,
            monitor_port,
            gateway_port,
            ..
        } = self;
        let folder = self.folder.display();
        format!(
            "[global]
fsid = {id}
mon_host = [v1:127.0.0.1:{monitor_port}]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr2 = false
ms_bind_ipv6 = false
keyring = {folder}/keyring
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_warn = 0
mon_data_avail_crit = 0
err_to_stderr = true
mon_data = {folder}/mon
osd_data = {folder}/osd
osd_objectstore = bluestore
bluestore_block_size = 4294967296
osd_memory_target = 939524096
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{gateway_port}
run_dir = {folder}/run
crash_dir = {folder}/run
log_file = {folder}/run/$name.log
admin_socket = {folder}/run/$name.$pid.asok
pid_file = {folder}/run/$name.pid
"
        )
    }
}

/// The keys of the monitor, the administrator, the gateway and the object server, in this order.
fn keyring(keys: [&str; 4]) -> String {
    let [monitor, administrator, gateway, objects] = keys.map(str::trim);
    format!(
        "[mon.]
key = {monitor}
caps mon = \"allow *\"
[client.admin]
key = {administrator}
caps mon = \"allow *\"
caps osd = \"allow *\"
caps mgr = \"allow *\"
[client.rgw]
key = {gateway}
caps mon = \"allow rw\"
caps osd = \"allow rwx\"
[osd.0]
key = {objects}
caps mon = \"allow profile osd\"
caps osd = \"allow *\"
"
    )
}

fn random_uuid() -> Result<String> {
    let source = Path::new("/proc/sys/kernel/random/uuid");
    Ok(fs::read_to_string(source)
        .context("ask the kernel for a UUID")?
        .trim()
        .to_owned())
}
