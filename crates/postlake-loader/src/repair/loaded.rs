//! Whether a damaged segment was loaded before it was damaged.

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use postlake_lake::{Lake, LakeTable};
use postlake_raw::SegmentKey;

use crate::error::LoadError;
use crate::ledger::day_of;
use crate::positions::number_of;

/// What the lake says of segments.
#[derive(Debug)]
pub(super) struct Accounts {
    batches: Option<LakeTable>,
    quarantine: Option<LakeTable>,
}

impl Accounts {
    pub(super) async fn open(lake: &Lake) -> Result<Accounts, LoadError> {
        Ok(Accounts {
            batches: lake.table(Table::Batches).await.map_err(LoadError::Lake)?,
            quarantine: lake
                .table(Table::Quarantine)
                .await
                .map_err(LoadError::Lake)?,
        })
    }

    /// True if the batches of a segment are in the lake, or were. A segment that a pass went over has
    /// rows in `batches`, or one in `quarantine` if it was damaged then; of days that retention has let
    /// go of these rows, it is taken for loaded.
    pub(super) async fn have(&self, key: &SegmentKey) -> Result<bool, LoadError> {
        let Some(batches) = &self.batches else {
            return Ok(false);
        };
        let stream = key.stream().to_string();
        let position = batches.position(&stream).await.map_err(LoadError::Lake)?;
        if position.unwrap_or(0) < number_of(key) {
            return Ok(false);
        }
        if rows(batches, key, "true").await? {
            return Ok(true);
        }
        if let Some(quarantine) = &self.quarantine
            && rows(quarantine, key, "code = 'segment'").await?
        {
            return Ok(false);
        }
        let kept_from = batches.kept_from().await.map_err(LoadError::Lake)?;
        Ok(kept_from.is_some_and(|first| day_of(key.date()) < first))
    }
}

async fn rows(lake: &LakeTable, key: &SegmentKey, condition: &str) -> Result<bool, LoadError> {
    let sql = format!(
        "SELECT segment FROM {} WHERE stream = '{}' AND segment = {} AND {condition} LIMIT 1",
        lake.table().name(),
        key.stream(),
        number_of(key)
    );
    let rows = lake.select(&sql).await.map_err(LoadError::Lake)?;
    let rows: Vec<RecordBatch> = rows.try_collect().await.map_err(LoadError::Lake)?;
    Ok(rows.iter().any(|rows| rows.num_rows() > 0))
}
