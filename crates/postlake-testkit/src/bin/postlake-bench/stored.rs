//! Was everything that was answered 200 stored? Reads every segment, every body's hash compared.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use postlake_raw::RawStore;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::bodies;

/// `--data` is the server's data directory, or `s3://BUCKET/PREFIX` with `--s3 ENDPOINT`; `--ids` the
/// files of `load`, comma-separated.
pub(crate) fn run(arguments: &Arguments) -> Result<Value> {
    let data: String = arguments.required("data")?;
    let ids: String = arguments.required("ids")?;
    let acknowledged = acknowledged(&ids)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let endpoint: Option<String> = arguments.optional("s3")?;
    let store: Arc<dyn ObjectStore> = match endpoint {
        Some(endpoint) => s3(&endpoint, &data)?,
        None => {
            Arc::new(LocalFileSystem::new_with_prefix(&data).context("open the data directory")?)
        }
    };
    let found = runtime.block_on(read_all(&RawStore::new(store)))?;
    let missing = acknowledged
        .iter()
        .filter(|id| !found.batches.contains_key(*id))
        .count();
    Ok(json!({
        "segments": found.segments,
        "batches": found.batches.values().sum::<u64>(),
        "object_bytes": found.object_bytes,
        "body_bytes": found.body_bytes,
        "acknowledged": acknowledged.len(),
        "missing": missing,
        "doubled": found.batches.values().filter(|times| **times > 1).count(),
    }))
}

/// The store at `s3://BUCKET/PREFIX` behind `endpoint`, which looks at no signatures.
fn s3(endpoint: &str, place: &str) -> Result<Arc<dyn ObjectStore>> {
    let (bucket, prefix) = place
        .strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .context("--data is s3://BUCKET/PREFIX")?;
    let store = AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_region("us-east-1")
        .with_access_key_id("nobody")
        .with_secret_access_key("secret")
        .build()
        .context("set up the S3 client")?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

/// As [`run`], of a folder in which each body is a file named by its batch id, as the peers store
/// them. `--events` and `--pool` are those of the load, to know what each file has to be.
pub(crate) fn files(arguments: &Arguments) -> Result<Value> {
    let folder: PathBuf = arguments.required("data")?;
    let ids: String = arguments.required("ids")?;
    let events: usize = arguments.required("events")?;
    let pool = bodies::pool(1, arguments.required("pool")?, events);
    let acknowledged = acknowledged(&ids)?;
    let mut missing = 0;
    let mut body_bytes = 0;
    for id in &acknowledged {
        let body = bodies::of_id(&pool, id).context("an id of a load")?;
        let whole = std::fs::read(folder.join(id)).is_ok_and(|stored| stored == *body);
        missing += u64::from(!whole);
        body_bytes += body.len();
    }
    Ok(json!({
        "acknowledged": acknowledged.len(),
        "body_bytes": body_bytes,
        "missing": missing,
    }))
}

fn acknowledged(ids: &str) -> Result<HashSet<String>> {
    let mut acknowledged = HashSet::new();
    for path in ids.split(',') {
        let lines = std::fs::read_to_string(path).with_context(|| format!("read {path}"))?;
        acknowledged.extend(lines.lines().map(str::to_owned));
    }
    Ok(acknowledged)
}

#[derive(Default)]
struct Found {
    segments: u64,
    object_bytes: u64,
    body_bytes: u64,
    /// How often each batch id is stored.
    batches: HashMap<String, u64>,
}

async fn read_all(store: &RawStore) -> Result<Found> {
    let mut found = Found::default();
    for date in store.dates().await.context("list the days")? {
        for stream in store.streams(date).await.context("list the streams")? {
            let mut after = 0;
            loop {
                let keys = store
                    .segments_after(date, stream, after)
                    .await
                    .context("list segments")?;
                let Some(last) = keys.last() else { break };
                after = last.number().get();
                for key in &keys {
                    add_segment(store, key, &mut found).await?;
                }
            }
        }
    }
    Ok(found)
}

async fn add_segment(
    store: &RawStore,
    key: &postlake_raw::SegmentKey,
    found: &mut Found,
) -> Result<()> {
    let bytes = store.read_bytes(key).await.context("read a segment")?;
    let segment = postlake_raw::segment::decode(Some(key), &bytes).context("decode a segment")?;
    found.segments += 1;
    found.object_bytes += bytes.len() as u64;
    for batch in segment.batches {
        found.body_bytes += batch.envelope.body_bytes;
        *found
            .batches
            .entry(batch.envelope.batch_id.unwrap_or_default())
            .or_default() += 1;
    }
    Ok(())
}
