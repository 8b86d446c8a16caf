//! The whole line on an emulator of AWS: load balancer, function, bucket, notification, queue, function,
//! lake, DynamoDB, score files, CSV files.

use std::net::SocketAddr;
use std::path::Path;

use postlake_testkit::peers::{self, Aws, S3};
use postlake_testkit::{http, until};

use super::*;

const SCRIPT: &str = "tests/it/functions/emulator.py";

struct Line {
    aws: Aws,
    place: Place,
    table: String,
    sinks: String,
    address: SocketAddr,
    /// What stands before the paths of the webhooks.
    door: String,
}

fn script(aws: &Aws, command: &str, argument: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
    aws.run(&path, &[command, argument])
}

impl Line {
    fn build(aws: Aws) -> Line {
        let name = format!("pl{:08x}", rand::random::<u32>());
        let bucket = format!("{name}-bucket");
        let table = format!("{name}-scores");
        script(&aws, "bucket", &bucket);
        let s3 = S3 {
            endpoint: aws.endpoint.clone(),
            bucket: bucket.clone(),
        };
        let place = Place::at_the_root_of(PROGRAM, s3);
        let sinks = format!(
            "[{{name=\"csv\",type=\"csv\"}},{{name=\"hs\",type=\"scores\"}},\
             {{name=\"store\",type=\"dynamodb\",table=\"{table}\"}}]"
        );
        let mut create = place.command(&["dynamodb", "create-table"]);
        create.envs(aws.environment()).env("POSTLAKE_SINKS", &sinks);
        let made = create.output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let environment = |role: &str| {
            let mut all = json!({
                "POSTLAKE_ROLE": role,
                "POSTLAKE_STORE__URL": place.url(),
                "POSTLAKE_SINKS": sinks,
                "POSTLAKE_INGEST__AUTH__BASIC":
                    "[{username=\"sparkpost\",password_env=\"A_PASSWORD\"}]",
                "POSTLAKE_INGEST__AUTH__ALERT_SECRET_ENVS": "[\"A_SECRET\"]",
                "A_PASSWORD": PASSWORD,
                "A_SECRET": SECRET,
            });
            for (name, value) in aws.environment() {
                all[name] = json!(value);
            }
            all
        };
        let settings = json!({
            "name": name,
            "programs": { "receive": [RECEIVE_PROGRAM], "load": [PROGRAM, "lambda"] },
            "bucket": bucket,
            "roles": { "receive": environment("receive"), "load": environment("load") },
        });
        let made = script(&aws, "setup", &settings.to_string());
        let address = aws.endpoint.strip_prefix("http://").unwrap().parse();
        Line {
            door: made["alb"].as_str().unwrap().to_owned(),
            address: address.unwrap(),
            aws,
            place,
            table,
            sinks,
        }
    }

    /// Posts as SparkPost does, by way of the load balancer.
    fn post(&self, path: &str, body: &str) -> u16 {
        let authorization = authorization();
        let headers = [
            ("content-type", "application/json"),
            (
                "authorization",
                authorization["authorization"].as_str().unwrap(),
            ),
        ];
        let path = format!("{}{path}", self.door);
        let answer = http::exchange(self.address, "POST", &path, &headers, body.as_bytes());
        answer.unwrap().status
    }

    fn deliver(&self) {
        let alerts = format!("/webhooks/alerts/{SECRET}");
        assert_eq!(
            self.post("/webhooks/events", &text("events-all-27-types.json")),
            200
        );
        assert_eq!(self.post(&alerts, &text("alerts-shape-a.json")), 200);
    }

    fn segments(&self) -> usize {
        self.place.objects("raw").len()
    }

    /// Once every segment is in the ledger and every sink has what the lake has: everything in them.
    fn settled(&self, segments: usize) -> [Vec<String>; 5] {
        until("the segments are there", || {
            (self.segments() == segments).then_some(())
        });
        let segments = i64::try_from(segments).unwrap();
        until("everything is loaded", || {
            let tables = self.place.objects("lake");
            let begun = tables
                .iter()
                .any(|(name, _)| name.contains("/batches/_delta_log/"));
            let loaded = || self.place.number("SELECT count(*) FROM batches");
            (begun && loaded() == segments).then_some(())
        });
        // What is left to deliver of it, the schedule would; here it is done by hand.
        let mut load = self.place.command_here(&["load"]);
        load.envs(self.aws.environment())
            .env("POSTLAKE_SINKS", &self.sinks);
        assert!(load.output().unwrap().status.success());
        let rows = |table: &str| self.place.sorted_lines(&format!("SELECT * FROM {table}"));
        let names = |prefix: &str| {
            let objects = self.place.objects(prefix);
            let texts = objects
                .into_iter()
                .filter(|(name, _)| !name.ends_with(".json") || name.contains("HS-"));
            texts
                .map(|(name, bytes)| format!("{name} {}", String::from_utf8_lossy(&bytes)))
                .collect::<Vec<_>>()
        };
        let items = script(&self.aws, "table", &self.table);
        let items = items.as_array().unwrap().iter();
        let items = items.filter(|item| item["kind"]["S"] != "checkpoint");
        let csv = ["csv/events", "csv/alerts"].map(names).concat();
        [
            rows("events"),
            rows("alerts"),
            items.map(Value::to_string).collect(),
            names("scores"),
            csv,
        ]
    }
}

#[test]
fn the_whole_line_on_an_emulator_and_everything_twice_changes_nothing() {
    let Some(aws) = peers::aws() else { return };
    let line = Line::build(aws);
    line.deliver();
    let once = line.settled(2);
    let sent: Vec<Value> = serde_json::from_str(&text("alerts-shape-a.json")).unwrap();
    let scores = sent
        .iter()
        .filter(|alert| alert["metric"] == "health_score")
        .count();
    assert_eq!((once[0].len(), once[1].len()), (27, sent.len()));
    let alerts = once[2]
        .iter()
        .filter(|item| item.contains("\"S\":\"alert\""));
    assert_eq!(alerts.count(), sent.len(), "{:#?}", once[2]);
    assert_eq!(once[3].len(), scores, "{:#?}", once[3]);
    assert_eq!(once[4].len(), 2, "{:#?}", once[4]);
    line.deliver();
    assert_eq!(line.settled(4), once);
    assert_eq!(line.post("/webhooks/alerts/wrong", "[]"), 404);
}
