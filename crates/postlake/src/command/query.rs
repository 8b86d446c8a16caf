//! `postlake query`.

use std::io::{self, Read as _};
use std::process::ExitCode;
use std::sync::Arc;

use futures::TryStreamExt as _;
use postlake_serve::format::Writer;

use crate::cli::QueryArgs;
use crate::command::output::{format_or_default, sql_failure, written};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::wire;

/// Longest question that is read from stdin.
const MAX_SQL_BYTES: u64 = 1 << 20;

pub(crate) async fn run(arguments: QueryArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let sql = text_of(arguments.sql)?;
    let engine = wire::local_engine(&settings.data)?;
    let mut rows = engine.stream(&sql).await.map_err(sql_failure)?;
    let mut stdout = io::stdout();
    let format = format_or_default(arguments.output);
    let mut writer = match Writer::new(rows.schema(), format, &mut stdout) {
        Ok(writer) => writer,
        Err(error) => return written(Err(error)).map(|()| ExitCode::SUCCESS),
    };
    loop {
        let batch = rows
            .try_next()
            .await
            .map_err(|source| Failure::caused(Exit::Data, "ask the lake", Arc::new(source)))?;
        let Some(batch) = batch else { break };
        if let Err(error) = writer.write(&batch) {
            return written(Err(error)).map(|()| ExitCode::SUCCESS);
        }
    }
    written(writer.finish()).map(|()| ExitCode::SUCCESS)
}

fn text_of(sql: String) -> Result<String, Failure> {
    if sql != "-" {
        return Ok(sql);
    }
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    io::stdin()
        .take(MAX_SQL_BYTES)
        .read_to_string(&mut text)
        .map_err(|source| Failure::caused(Exit::Io, "read the question from stdin", source))?;
    Ok(text)
}
