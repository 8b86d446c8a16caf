//! `postlake quarantine list`.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use postlake_serve::format;

use super::dropped::Dropped;
use super::items::{self, Item};
use crate::cli::QuarantineListArgs;
use crate::command::output::{format_or_default, say, written};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::wire;

pub(super) async fn run(arguments: QuarantineListArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let engine = wire::local_engine(&settings.data)?;
    let dropped = Dropped::read(&wire::raw_store(&settings.data)?).await?;
    let limit = arguments.limit as usize;
    // Those that are left out must not make room for nothing.
    let read = items::filtered(&engine, &arguments.filter, limit + dropped.len() + 1).await?;
    let mut left_out = 0;
    let mut shown: Vec<Item> = Vec::new();
    for item in read {
        let is_dropped = item
            .place()
            .is_some_and(|place| dropped.by(&place).is_some());
        if is_dropped && !arguments.dropped {
            left_out += 1;
        } else {
            shown.push(item);
        }
    }
    let more = shown.len() > limit;
    shown.truncate(limit);
    let table = table(&shown, &dropped, arguments.dropped)
        .map_err(|source| Failure::caused(Exit::Failure, "lay out the items", source))?;
    let rows = std::slice::from_ref(&table);
    let format = format_or_default(arguments.output);
    written(format::write(
        &table.schema(),
        rows,
        format,
        &mut io::stdout(),
    ))?;
    if more {
        say(&format!(
            "there are more than {limit}; ask for more with --limit"
        ));
    }
    if left_out > 0 {
        say(&format!(
            "{left_out} dropped items are left out; see them with --dropped"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn table(
    items: &[Item],
    dropped: &Dropped,
    with_dropped: bool,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |value: &dyn Fn(&Item) -> Option<String>| -> ArrayRef {
        Arc::new(items.iter().map(value).collect::<StringArray>())
    };
    let offsets: Int64Array = items.iter().map(|item| item.byte_offset).collect();
    let at = |item: &Item| Some(item.received_at.format("%Y-%m-%d %H:%M:%SZ").to_string());
    let mut columns = vec![
        ("place", text(&|item| Some(item.place()?.to_string()))),
        ("received_at", text(&at)),
        ("source", text(&|item| Some(item.source.clone()))),
        ("batch_id", text(&|item| item.batch_id.clone())),
        ("code", text(&|item| Some(item.code.clone()))),
        ("byte_offset", Arc::new(offsets) as ArrayRef),
        ("message", text(&|item| Some(item.message.clone()))),
    ];
    if with_dropped {
        let by = |item: &Item| dropped.by(&item.place()?).map(str::to_owned);
        columns.push(("dropped", text(&by)));
    }
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns)
}
