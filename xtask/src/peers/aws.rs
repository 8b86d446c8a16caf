//! AWS without S3 as a store: ministack, which has DynamoDB, queues, functions, load balancers.
//!
//! Ceph is the store whose word counts; here S3 is what sends notifications.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::keeper::{Keeper, Server, Stop};
use super::ready::{free_port, wait};
use crate::install::Tools;

const START_LIMIT: Duration = Duration::from_secs(120);

/// Makes and removes a table.
const PROBE: &str = "
import sys, boto3
from botocore.config import Config
where = dict(endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
tables = boto3.client('dynamodb', config=Config(retries={'max_attempts': 1}), **where)
tables.create_table(TableName='probe', BillingMode='PAY_PER_REQUEST',
    AttributeDefinitions=[{'AttributeName': 'k', 'AttributeType': 'S'}],
    KeySchema=[{'AttributeName': 'k', 'KeyType': 'HASH'}])
tables.delete_table(TableName='probe')
";

/// On `Ok` it has answered; the value is its URL.
pub(super) fn start(keeper: &mut Keeper, tools: &Tools) -> Result<String> {
    let folder = keeper.folder("aws")?;
    let port = free_port()?;
    let mut server = Command::new(&tools.python_of_aws);
    server
        .args(["-m", "ministack"])
        .current_dir(&folder)
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        .env("SFTP_ENABLED", "0")
        .env("PERSIST_STATE", "0")
        .env("STATE_DIR", folder.join("state"))
        .env("S3_DATA_DIR", folder.join("s3"));
    // It ends the functions that it has started.
    let server = keeper.spawn("ministack", &mut server, &folder, Stop::Interrupt)?;
    let url = format!("http://127.0.0.1:{port}");
    ready(keeper, &server, tools, &url)?;
    Ok(url)
}

/// On `Ok` dynoxide has answered; the value is its URL. It keeps everything in memory.
pub(super) fn start_dynoxide(keeper: &mut Keeper, tools: &Tools) -> Result<String> {
    let folder = keeper.folder("dynoxide")?;
    let port = free_port()?.to_string();
    let mut server = Command::new(&tools.dynoxide);
    server
        .args(["serve", "--host", "127.0.0.1", "--port", &port])
        .current_dir(&folder);
    let server = keeper.spawn("dynoxide", &mut server, &folder, Stop::Interrupt)?;
    let url = format!("http://127.0.0.1:{port}");
    ready(keeper, &server, tools, &url)?;
    Ok(url)
}

fn ready(keeper: &mut Keeper, server: &Server, tools: &Tools, url: &str) -> Result<()> {
    wait(keeper, server, START_LIMIT, |keeper| {
        let mut probe = Command::new(&tools.python_of_aws);
        keeper.run(probe.args(["-c", PROBE, url]))?;
        Ok(())
    })
}
