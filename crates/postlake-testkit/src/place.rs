//! Where the data of one test lies, and the program's commands on it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _};
use postlake_raw::clock::{Clock as _, ManualClock, SystemClock};
use postlake_raw::{Batch, RawStore, SegmentKey, SegmentNumber, SourceKind, StreamName, segment};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::faulty_s3::{self, FaultyS3};
use crate::peers::S3;
use crate::running::{Outcome, Running};
use crate::server::Server;

/// Any free port of this machine.
const FREE: &str = "127.0.0.1:0";

/// With this variable set the directory of a failed test stays, for a look at what is in it.
const KEEP: &str = "POSTLAKE_TEST_KEEP";

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os(KEEP).is_some() {
            self.home.disable_cleanup(true);
            eprintln!("{} and {} are kept", self.home.path().display(), self.url);
        }
    }
}

/// A place for data of its own. Commands run in an empty directory, without any `POSTLAKE_*` or `OTEL_*` variable.
#[derive(Debug)]
pub struct Place {
    program: PathBuf,
    home: TempDir,
    url: String,
    store: Arc<dyn ObjectStore>,
    s3: Option<S3>,
    /// For every command.
    environment: Vec<(&'static str, String)>,
}

impl Place {
    /// A temporary directory.
    pub fn local(program: &str) -> Place {
        let home = TempDir::with_prefix("postlake-it-").unwrap();
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        Place {
            program: program.into(),
            url: data.to_str().unwrap().to_owned(),
            store: Arc::new(LocalFileSystem::new_with_prefix(&data).unwrap()),
            home,
            s3: None,
            environment: Vec::new(),
        }
    }

    /// A prefix of the S3 peer that nobody has used.
    pub fn on_s3(program: &str, s3: S3) -> Place {
        let prefix = format!("it/{:016x}", rand::random::<u64>());
        let store = AmazonS3Builder::from_env()
            .with_endpoint(&s3.endpoint)
            .with_allow_http(true)
            .with_bucket_name(&s3.bucket)
            .build()
            .unwrap();
        Place {
            program: program.into(),
            home: TempDir::with_prefix("postlake-it-").unwrap(),
            url: format!("s3://{}/{prefix}", s3.bucket),
            store: Arc::new(PrefixStore::new(store, prefix)),
            environment: vec![("AWS_ENDPOINT_URL", s3.endpoint.clone())],
            s3: Some(s3),
        }
    }

    /// A bucket of an emulator that nobody else uses, without a prefix.
    pub fn at_the_root_of(program: &str, s3: S3) -> Place {
        let store = AmazonS3Builder::new()
            .with_endpoint(&s3.endpoint)
            .with_allow_http(true)
            .with_bucket_name(&s3.bucket)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .build()
            .unwrap();
        let value = str::to_owned;
        Place {
            program: program.into(),
            home: TempDir::with_prefix("postlake-it-").unwrap(),
            url: format!("s3://{}", s3.bucket),
            store: Arc::new(store),
            environment: vec![
                ("AWS_ENDPOINT_URL", s3.endpoint.clone()),
                ("AWS_ACCESS_KEY_ID", value("test")),
                ("AWS_SECRET_ACCESS_KEY", value("test")),
                ("AWS_REGION", value("us-east-1")),
            ],
            s3: Some(s3),
        }
    }

    /// A prefix of a server that fails on command.
    pub fn on_faulty_s3(program: &str, server: &FaultyS3) -> Place {
        const PREFIX: &str = "data";
        let s3 = S3 {
            endpoint: server.endpoint(),
            bucket: faulty_s3::BUCKET.to_owned(),
        };
        let store = server.client().build().unwrap();
        let value = str::to_owned;
        Place {
            program: program.into(),
            home: TempDir::with_prefix("postlake-it-").unwrap(),
            url: format!("s3://{}/{PREFIX}", s3.bucket),
            store: Arc::new(PrefixStore::new(store, PREFIX)),
            environment: vec![
                ("AWS_ENDPOINT_URL", s3.endpoint.clone()),
                ("AWS_ACCESS_KEY_ID", value("nobody")),
                ("AWS_SECRET_ACCESS_KEY", value("secret")),
                ("AWS_REGION", value("us-east-1")),
            ],
            s3: Some(s3),
        }
    }

    /// What every command has in its environment.
    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }

    /// What `--data` is given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The directory that commands run in; on disk it holds the data too.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Whether the data lies on this machine.
    pub fn is_local(&self) -> bool {
        self.s3.is_none()
    }

    /// The data directory. Panics on S3.
    pub fn directory(&self) -> PathBuf {
        assert!(self.s3.is_none(), "{} is no directory", self.url);
        self.url.clone().into()
    }

    /// The store that holds everything.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// A command of the program as it is given.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(&self.program, arguments)
    }

    /// As [`Place::command`], of another program.
    pub fn command_of(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let steers = |name: &str| name.starts_with("POSTLAKE_") || name.starts_with("OTEL_");
        let ours = std::env::vars().filter(|(name, _)| steers(name));
        for (name, _) in ours {
            command.env_remove(name);
        }
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(arguments)
            .current_dir(self.home.path())
            .env("NO_COLOR", "1")
            // Many servers run at a time.
            .env("POSTLAKE_ADMIN__LISTEN", FREE)
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        command
    }

    /// A command on this place's data.
    pub fn command_here(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.args(["--data", &self.url]);
        command
    }

    /// Runs a command on this place's data to its end.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        Running::start(&mut self.command_here(arguments)).wait()
    }

    /// Starts `serve` on free ports and waits until it is ready.
    #[track_caller]
    pub fn serve(&self, arguments: &[&str]) -> Server {
        let mut command = self.command_here(&["serve"]);
        command
            .args(["--ingest-listen", FREE, "--read-listen", FREE])
            .args(arguments);
        Server::start(&mut command)
    }

    /// Drains a server of this place. What it had no time for, as it may, is loaded afterwards.
    #[track_caller]
    pub fn drain(&self, server: Server) {
        let said = server.stop().stderr;
        if !said.contains("everything received is loaded") {
            self.load();
        }
    }

    /// Starts `load`.
    pub fn start_load(&self) -> Running {
        Running::start(&mut self.command_here(&["load"]))
    }

    /// Loads everything.
    #[track_caller]
    pub fn load(&self) -> Outcome {
        self.start_load().wait().success()
    }

    /// The rows that `postlake query -o json` answers.
    #[track_caller]
    pub fn query<T: DeserializeOwned>(&self, sql: &str) -> Vec<T> {
        let answer = self.run(&["query", sql, "-o", "json"]).success();
        serde_json::from_slice(&answer.stdout)
            .unwrap_or_else(|error| panic!("{sql}: {error}: {}", answer.text()))
    }

    /// The one number that a query answers.
    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        let answer = self.run(&["query", sql, "-o", "csv"]).success().text();
        let line = answer.lines().nth(1).expect("a row under the header");
        line.parse().unwrap_or_else(|_| panic!("{sql}: {answer}"))
    }

    /// The lines that a query answers as NDJSON, sorted.
    #[track_caller]
    pub fn sorted_lines(&self, sql: &str) -> Vec<String> {
        let answer = self.run(&["query", sql, "-o", "ndjson"]).success().text();
        let mut lines: Vec<String> = answer.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }

    /// Puts a segment there as a release of the future would, in a stream of its own. Returns its name.
    pub fn put_newer_segment(&self) -> String {
        let at = "2026-11-22T23:59:59Z".parse().unwrap();
        let stream = StreamName::from_parts(at, u64::MAX);
        let key = SegmentKey::new(stream, SegmentNumber::FIRST);
        let header = format!(
            "{{\"format\":\"postlake-raw\",\"version\":{},\"stream\":\"{stream}\",\"number\":1}}\n",
            segment::FORMAT_VERSION + 1
        );
        let mut frame = zstd::bulk::Compressor::new(1).unwrap();
        frame.include_checksum(true).unwrap();
        let bytes = frame.compress(header.as_bytes()).unwrap();
        let store = self.store();
        wait_on(async move { store.put(&key.path(), bytes.into()).await }).unwrap();
        key.path().to_string()
    }

    /// Gives a table of the lake a column `of_tomorrow`, as a release of the future would. Returns the log
    /// entry that does it.
    pub fn add_newer_column(&self, table: &str) -> PathBuf {
        let log = self.directory().join("lake").join(table).join("_delta_log");
        let entry = |version: u64| log.join(format!("{version:020}.json"));
        let first = std::fs::read_to_string(entry(0)).unwrap();
        let lines = first
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let mut metadata = lines
            .filter_map(|mut line: Value| line.get_mut("metaData").map(Value::take))
            .next()
            .expect("the first entry has the columns");
        let mut schema: Value =
            serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
        schema["fields"].as_array_mut().unwrap().push(json!({
            "name": "of_tomorrow", "type": "string", "nullable": true, "metadata": {},
        }));
        metadata["schemaString"] = schema.to_string().into();
        let next = (0..).map(entry).find(|path| !path.exists()).unwrap();
        std::fs::write(&next, json!({ "metaData": metadata }).to_string()).unwrap();
        next
    }

    /// Puts a segment there with a batch of so many events, received so many days ago and as old as that.
    pub fn put_day(&self, days_ago: i64, events: usize) {
        let at = SystemClock.now() - TimeDelta::days(days_ago);
        let items = (0..events).map(|event| {
            let (id, at) = (format!("{days_ago}-{event}"), at.timestamp());
            format!(r#"{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"{at}"}}}}}}"#)
        });
        let body = format!("[{}]", items.collect::<Vec<_>>().join(","));
        let batch = Batch::new(SourceKind::Event, at, None, Vec::new(), body.into());
        let key = SegmentKey::new(StreamName::new(&ManualClock::new(at)), SegmentNumber::FIRST);
        let bytes = segment::encode(&key, &[batch]).unwrap();
        let raw = RawStore::new(self.store());
        wait_on(async move { raw.land(&key, bytes).await }).unwrap();
    }

    /// Puts a stream of that many days ago, with so many segments of an event each.
    pub fn put_stream(&self, days_ago: i64, segments: u64) {
        let at = SystemClock.now() - TimeDelta::days(days_ago);
        let stream = StreamName::new(&ManualClock::new(at));
        let raw = RawStore::new(self.store());
        for number in 1..=segments {
            let (id, seconds) = (format!("{days_ago}-{number}"), at.timestamp());
            let body = format!(
                r#"[{{"msys":{{"message_event":{{"type":"delivery","event_id":"{id}","timestamp":"{seconds}"}}}}}}]"#
            );
            let batch = Batch::new(SourceKind::Event, at, None, Vec::new(), body.into());
            let key = SegmentKey::new(stream, SegmentNumber::new(number).unwrap());
            let bytes = segment::encode(&key, &[batch]).unwrap();
            let raw = raw.clone();
            wait_on(async move { raw.land(&key, bytes).await }).unwrap();
        }
    }

    /// All objects below a prefix, by name.
    pub fn objects(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let store = self.store();
        let prefix = ObjectPath::from(prefix);
        wait_on(async move {
            let mut found: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
            found.sort_by(|one, two| one.location.cmp(&two.location));
            let mut objects = Vec::with_capacity(found.len());
            for object in found {
                let bytes = store
                    .get(&object.location)
                    .await
                    .unwrap()
                    .bytes()
                    .await
                    .unwrap();
                objects.push((object.location.to_string(), bytes));
            }
            objects
        })
    }
}

/// Runs a future to its end.
pub(crate) fn wait_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
