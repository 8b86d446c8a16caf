//! `postlake dynamodb create-table`: the tables that the configured sinks write to.

use std::process::ExitCode;

use crate::cli::DynamodbCommand;
use crate::command::output::print;
use crate::config::{Flags, Settings, SinkKind};
use crate::exit::{Exit, Failure};
use crate::wire;

pub(crate) async fn run(command: DynamodbCommand) -> Result<ExitCode, Failure> {
    let DynamodbCommand::CreateTable(arguments) = command;
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let mut tables = 0;
    for sink in &settings.sinks {
        let SinkKind::DynamoDb(table) = &sink.kind else {
            continue;
        };
        tables += 1;
        let writer = wire::dynamodb_sink(&sink.name, table)?;
        let made = writer.create_table().await.map_err(|source| {
            let doing = format!("make the table {}", writer.table());
            Failure::caused(Exit::Unavailable, doing, source)
        })?;
        let table = writer.table();
        print(&match made {
            true => format!("the table {table} is made and can be used"),
            false => format!("the table {table} is there and can be used"),
        })?;
    }
    if tables == 0 {
        let message = "no sink of type dynamodb is configured; add to postlake.toml:\n\
                       [[sinks]]\nname = \"store\"\ntype = \"dynamodb\"\ntable = \"hs_alerts\"";
        return Err(Failure::new(Exit::Config, message));
    }
    Ok(ExitCode::SUCCESS)
}
