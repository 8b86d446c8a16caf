//! What a loader must make of a body, written down a second time and slowly, to check the ledger with.

use std::borrow::Cow;

use serde_json::Value;

#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) items: usize,
    pub(crate) rejects: usize,
    /// The identity of each good event, in order.
    pub(crate) events: Vec<String>,
    /// The identity of each good alert, in order.
    pub(crate) alerts: Vec<String>,
}

pub(crate) fn count(body: &[u8]) -> Counted {
    let text = String::from_utf8_lossy(body);
    let damaged = matches!(text, Cow::Owned(_));
    let mut counted = Counted::default();
    if text.trim().is_empty() {
        return counted;
    }
    let Ok(Value::Array(items)) = serde_json::from_str(&text) else {
        counted.items = 1;
        counted.rejects = 1;
        return counted;
    };
    for item in items {
        if is_ping(&item) {
            continue;
        }
        counted.items += 1;
        let broken = damaged && item.to_string().contains('\u{fffd}');
        match (event_identity(&item), alert_identity(&item)) {
            (Some(identity), _) if !broken => counted.events.push(identity),
            (_, Some(identity)) if !broken => counted.alerts.push(identity),
            _ => counted.rejects += 1,
        }
    }
    counted
}

fn is_ping(item: &Value) -> bool {
    item.get("msys")
        .and_then(Value::as_object)
        .is_some_and(serde_json::Map::is_empty)
}

fn event_identity(item: &Value) -> Option<String> {
    let msys = item.get("msys")?.as_object()?;
    if msys.len() != 1 {
        return None;
    }
    let (class, event) = msys.iter().next()?;
    let event_type = event.get("type")?.as_str()?;
    let id = match event.get("event_id") {
        Some(id) => id.as_str()?.to_owned(),
        None => event.to_string(),
    };
    Some(format!("{class}/{event_type}/{id}"))
}

fn alert_identity(item: &Value) -> Option<String> {
    Some(format!(
        "{}/{}/{}/{}",
        item.get("alert_id")?,
        item.get("metric")?,
        item.get("triggered_at")?,
        item.get("filters")?
    ))
}
