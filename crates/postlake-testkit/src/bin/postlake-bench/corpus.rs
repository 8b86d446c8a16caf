//! The same events in two forms: webhook bodies one after the other, a line each, as SparkPost sends
//! them; and a line for each inner event, which is what the other engines can read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::bodies;

const EVENTS_IN_A_BODY: usize = 350;

pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let events: usize = arguments.required("events")?;
    let mut traffic = bodies::traffic(arguments.or("seed", 1)?);
    let mut webhook = create(&arguments.required("webhook")?)?;
    let lines: Option<PathBuf> = arguments.optional("lines")?;
    let mut lines = lines.as_ref().map(create).transpose()?;
    let (mut left, mut webhook_bytes, mut line_bytes) = (events, 0, 0);
    while left > 0 {
        let count = left.min(EVENTS_IN_A_BODY);
        let body = traffic.next_batch(count).body;
        webhook
            .write_all(&body)
            .and_then(|()| webhook.write_all(b"\n"))
            .context("write bodies")?;
        webhook_bytes += body.len() + 1;
        if let Some(lines) = &mut lines {
            line_bytes += write_inner(&body, lines)?;
        }
        left -= count;
    }
    webhook.flush().context("write bodies")?;
    lines
        .as_mut()
        .map(Write::flush)
        .transpose()
        .context("write lines")?;
    Ok(json!({ "events": events, "webhook_bytes": webhook_bytes, "line_bytes": line_bytes }))
}

fn create(path: &PathBuf) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// Writes the `{...}` of each `{"msys":{"<class>":{...}}}` on a line; returns the bytes.
fn write_inner(body: &[u8], out: &mut impl Write) -> Result<usize> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).context("read a body of our own")?;
    let mut bytes = 0;
    for item in items {
        let text = item.get();
        let inner = text
            .match_indices('{')
            .nth(2)
            .and_then(|(start, _)| text.get(start..text.len() - 2))
            .context("an item has three levels")?;
        writeln!(out, "{inner}").context("write lines")?;
        bytes += inner.len() + 1;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_event_is_cut_out() {
        let mut out = Vec::new();
        let body = br#"[{"msys":{"message_event":{"a":{"b":1}}}}]"#;
        assert_eq!(write_inner(body, &mut out).unwrap(), out.len());
        assert_eq!(out, b"{\"a\":{\"b\":1}}\n");
    }
}
