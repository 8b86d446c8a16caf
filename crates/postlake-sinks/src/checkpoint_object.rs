//! The checkpoint of a sink that writes objects: a small object, put after what it speaks of.

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};
use postlake_event::sink::{Checkpoint, SinkError};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// Form of this object.
    format: String,
    /// Id of the table in the lake.
    table_id: String,
    /// Last version of the table that the sink holds.
    version: u64,
}

/// Reads the checkpoint of the form `format` at `path`; `None` if there is none.
pub(crate) async fn read(
    store: &dyn ObjectStore,
    path: &Path,
    format: &str,
) -> Result<Option<Checkpoint>, SinkError> {
    let doing = || format!("read the checkpoint {path}");
    let bytes = match store.get(path).await {
        Ok(found) => found.bytes().await,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(source) => Err(source),
    }
    .map_err(|source| SinkError::new(doing(), source))?;
    let content: Content =
        serde_json::from_slice(&bytes).map_err(|source| SinkError::new(doing(), source))?;
    if content.format != format {
        let message = format!("it has the form {}, not {format}", content.format);
        return Err(SinkError::new(doing(), message));
    }
    Ok(Some(Checkpoint {
        table_id: content.table_id,
        version: content.version,
    }))
}

/// Puts the checkpoint; durable on `Ok`.
pub(crate) async fn write(
    store: &dyn ObjectStore,
    path: &Path,
    format: &str,
    checkpoint: &Checkpoint,
) -> Result<(), SinkError> {
    let content = Content {
        format: format.to_owned(),
        table_id: checkpoint.table_id.clone(),
        version: checkpoint.version,
    };
    let bytes = serde_json::to_vec(&content)
        .map_err(|source| SinkError::new(format!("write the checkpoint {path}"), source))?;
    put(store, path, bytes).await
}

/// Puts an object; durable on `Ok`.
pub(crate) async fn put(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: Vec<u8>,
) -> Result<(), SinkError> {
    match store.put(path, bytes.into()).await {
        Ok(_) => Ok(()),
        Err(source) => Err(SinkError::new(format!("put {path}"), source)),
    }
}
