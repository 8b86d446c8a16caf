//! `postlake quarantine show`: an item, why it is there, and what raw holds at its place.

use std::io::{self, Write as _};
use std::process::ExitCode;

use postlake_loader::ItemPlace;
use postlake_raw::{Batch, RawStore, ReadError};
use postlake_serve::visible;

use super::dropped::Dropped;
use super::items::{self, Item};
use crate::cli::QuarantineShowArgs;
use crate::command::output::{print, say};
use crate::config::{Flags, Settings};
use crate::exit::{Exit, Failure, chain};
use crate::wire;

/// So much of the body is shown on both sides of the fault.
const AROUND: usize = 160;

pub(super) async fn run(arguments: QuarantineShowArgs) -> Result<ExitCode, Failure> {
    let settings = Settings::read(&Flags::from(&arguments.data))?;
    let raw = wire::raw_store(&settings.data)?;
    let place = arguments.place;
    if arguments.body {
        return write_body(&raw, &place).await;
    }
    let engine = wire::local_engine(&settings.data)?;
    let Some(item) = items::at(&engine, &place).await? else {
        let message = format!("{place} is not in quarantine");
        return Err(Failure::new(Exit::Data, message));
    };
    let dropped = Dropped::read(&raw).await?;
    tell(&item, &place, dropped.by(&place))?;
    match batch(&raw, &place).await {
        Ok(Some(batch)) => tell_body(&item, &batch)?,
        Ok(None) => {}
        Err(failure) => say(&format!("the body: {}", chain(&failure))),
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(item: &Item, place: &ItemPlace, dropped: Option<&str>) -> Result<(), Failure> {
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    let lines = [
        ("place", Some(place.to_string())),
        ("object", Some(place.segment.to_string())),
        ("received", Some(item.received_at.to_rfc3339())),
        ("source", Some(item.source.clone())),
        ("batch id", item.batch_id.clone()),
        ("code", Some(item.code.clone())),
        ("message", Some(item.message.clone())),
        ("byte", number(item.byte_offset)),
        ("item bytes", number(item.item_bytes)),
        ("excerpt", item.excerpt.clone()),
        ("dropped", dropped.map(str::to_owned)),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            print(&format!("{name:<10}  {}", visible(&value)))?;
        }
    }
    Ok(())
}

/// What stands around the fault, unless the body came compressed: offsets count what is in it then.
fn tell_body(item: &Item, batch: &Batch) -> Result<(), Failure> {
    let mut headers = batch.envelope.headers.iter();
    if let Some((_, encoding)) = headers.find(|(name, _)| name == "content-encoding") {
        let bytes = batch.body.len();
        return print(&format!("body        {bytes} bytes, {}", visible(encoding)));
    }
    let fault = usize::try_from(item.byte_offset.unwrap_or(0)).unwrap_or(usize::MAX);
    let fault = fault.min(batch.body.len());
    let (from, to) = (fault.saturating_sub(AROUND), fault.saturating_add(AROUND));
    let part = |from: usize, to: usize| {
        let bytes = batch.body.get(from..to.min(batch.body.len()));
        let text = String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        visible(&text).into_owned()
    };
    print(&format!("before      {}", part(from, fault)))?;
    print(&format!("from there  {}", part(fault, to)))
}

async fn write_body(raw: &RawStore, place: &ItemPlace) -> Result<ExitCode, Failure> {
    let Some(batch) = batch(raw, place).await? else {
        let message = format!("{place} names a whole segment, which has no body");
        return Err(Failure::new(Exit::Data, message));
    };
    match io::stdout().write_all(&batch.body) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::caused(Exit::Io, "write to stdout", source))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The batch of a place; none for a whole segment.
async fn batch(raw: &RawStore, place: &ItemPlace) -> Result<Option<Batch>, Failure> {
    let Some(index) = place.batch_index else {
        return Ok(None);
    };
    let segment = raw.read(&place.segment).await.map_err(|error| {
        let exit = match error {
            ReadError::Damaged { .. } | ReadError::NotFound { .. } => Exit::Data,
            _ => Exit::Unavailable,
        };
        Failure::caused(exit, "read the raw segment", error)
    })?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    match segment.batches.into_iter().nth(index) {
        Some(batch) => Ok(Some(batch)),
        None => Err(Failure::new(Exit::Data, format!("{place} is not in raw"))),
    }
}
