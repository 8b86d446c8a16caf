use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn sample() -> RecordBatch {
    let at = TimestampMicrosecondArray::from(vec![Some(1_616_488_288_999_000), None])
        .with_timezone("UTC");
    RecordBatch::try_from_iter_with_nullable([
        (
            "text",
            Arc::new(StringArray::from(vec![
                Some("a,\"b\"\r\nc\u{1b}[31m"),
                Some(""),
            ])) as ArrayRef,
            true,
        ),
        (
            "id",
            Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None])),
            true,
        ),
        (
            "score",
            Arc::new(Float64Array::from(vec![Some(75.317), None])),
            true,
        ),
        ("at", Arc::new(at), true),
        (
            "yes",
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            true,
        ),
    ])
    .unwrap()
}

fn written(batch: &RecordBatch, format: Format) -> Vec<u8> {
    let mut out = Vec::new();
    write(
        &batch.schema(),
        std::slice::from_ref(batch),
        format,
        &mut out,
    )
    .unwrap();
    out
}

fn text(batch: &RecordBatch, format: Format) -> String {
    String::from_utf8(written(batch, format)).unwrap()
}

#[test]
fn the_text_formats_hold_the_same_rows() {
    let batch = sample();
    assert_eq!(
        text(&batch, Format::Csv),
        "text,id,score,at,yes\n\
         \"a,\"\"b\"\"\r\nc\u{1b}[31m\",9007199254740993,75.317,2021-03-23T08:31:28.999Z,true\n\
         \"\",,,,\n"
    );
    assert_eq!(
        text(&batch, Format::Json),
        "[{\"text\":\"a,\\\"b\\\"\\r\\nc\\u001b[31m\",\"id\":9007199254740993,\"score\":75.317,\
          \"at\":\"2021-03-23T08:31:28.999Z\",\"yes\":true},\
          {\"text\":\"\",\"id\":null,\"score\":null,\"at\":null,\"yes\":null}]\n"
    );
    assert_eq!(
        text(&batch, Format::Table),
        "\
+----------------------+------------------+--------+--------------------------+------+
| text                 | id               | score  | at                       | yes  |
+----------------------+------------------+--------+--------------------------+------+
| a,\"b\"\\r\\nc\\u{1b}[31m | 9007199254740993 | 75.317 | 2021-03-23T08:31:28.999Z | true |
|                      | NULL             | NULL   | NULL                     | NULL |
+----------------------+------------------+--------+--------------------------+------+
"
    );
    let json: serde_json::Value = serde_json::from_str(&text(&batch, Format::Json)).unwrap();
    let lines: Vec<serde_json::Value> = text(&batch, Format::Ndjson)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(json, serde_json::Value::Array(lines));
}

#[test]
fn parquet_gives_back_the_rows() {
    let batch = sample();
    let file = bytes::Bytes::from(written(&batch, Format::Parquet));
    let rows: Vec<RecordBatch> = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(rows, vec![batch]);
}

#[test]
fn no_rows_still_have_columns() {
    let empty = sample().slice(0, 0);
    assert_eq!(text(&empty, Format::Csv), "text,id,score,at,yes\n");
    assert_eq!(text(&empty, Format::Json), "[]\n");
    assert_eq!(text(&empty, Format::Ndjson), "");
    assert!(text(&empty, Format::Table).contains("score"));
    assert!(!written(&empty, Format::Parquet).is_empty());
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("x", DataType::Int64, false),
        Field::new("x", DataType::Int64, false),
        Field::new("x_2", DataType::Int64, false),
    ]));
    let column = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let batch = RecordBatch::try_new(schema, vec![column(1), column(2), column(3)]).unwrap();
    assert_eq!(text(&batch, Format::Csv), "x,x_2,x_2_2\n1,2,3\n");
    assert_eq!(
        text(&batch, Format::Ndjson),
        "{\"x\":1,\"x_2\":2,\"x_2_2\":3}\n"
    );
}

#[test]
fn format_names_parse_back() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert_eq!("xml".parse::<Format>(), Err(NotAFormat));
}
