//! `postlake scores`: who is in trouble, worst first.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use postlake_serve::format::{self, Format};
use postlake_serve::scores::{self, ScoreRow};

use crate::cli::ScoresArgs;
use crate::command::output::{format_or_default, say, sql_failure, written};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure};
use crate::wire;

pub(crate) async fn run(arguments: ScoresArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let engine = wire::local_engine(&settings.data)?;
    let rows = scores::latest(&engine).await.map_err(sql_failure)?;
    if rows.is_empty() {
        say(
            "no Health Score yet: SparkPost sends them once a day, as alerts on the metric health_score",
        );
    }
    let format = format_or_default(arguments.output);
    let table = table(&rows, format)
        .map_err(|source| Failure::caused(Exit::Failure, "lay out the scores", source))?;
    let written_rows = format::write(
        &table.schema(),
        std::slice::from_ref(&table),
        format,
        &mut io::stdout(),
    );
    written(written_rows).map(|()| ExitCode::SUCCESS)
}

/// The columns for people where a person looks, all columns for programs.
fn table(rows: &[ScoreRow], format: Format) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |value: fn(&ScoreRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let float = |value: fn(&ScoreRow) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<Float64Array>())
    };
    let facet = text(|row| {
        let name = row.facet_name.as_ref()?;
        Some(format!(
            "{name}={}",
            row.facet_value.as_deref().unwrap_or_default()
        ))
    });
    let triggered_at = text(|row| Some(row.triggered_at.format("%Y-%m-%d %H:%M:%SZ").to_string()));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("subject", text(|row| Some(row.subject.clone()))),
        ("facet", facet),
        ("score", float(|row| Some(row.score))),
        ("verdict", text(|row| Some(row.verdict.clone()))),
        ("change", float(|row| row.change)),
        ("triggered_at", triggered_at),
    ];
    if format != Format::Table {
        let ids: Int64Array = rows.iter().map(|row| row.subaccount_id).collect();
        columns.insert(0, ("subaccount_id", Arc::new(ids)));
        columns.push((
            "alert_id",
            Arc::new(rows.iter().map(|row| row.alert_id).collect::<Int64Array>()),
        ));
        columns.push(("alert_name", text(|row| row.name.clone())));
        columns.push(("record_id", text(|row| Some(row.record_id.clone()))));
    }
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns)
}
