//! A new or emptied sink, filled with what the lake holds.
//!
//! As long as the log tells everything from its first version on, that is what a sink reads anyway. When
//! it does not (old files were vacuumed, rows were taken away or corrected), the rows of one fixed
//! version are delivered instead, piece by piece, as if each were a version of its own; then the log is
//! followed from there. Which version it is stands in the sink's checkpoint, so that a backfill that was
//! broken off goes on with the same pieces, and nobody else delivers meanwhile.

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use postlake_event::schema::Table;
use postlake_event::sink::{Delivery, Sink};
use postlake_lake::{Lake, LakeTable};

use crate::deliver::{Delivered, deliver_table};
use crate::error::LoadError;
use crate::filling::Filling;
use crate::replay::in_types;

/// Rows of a piece.
const PIECE_ROWS: u64 = 50_000;

/// Fills the sink, table by table, and notes in `delivered` what was moved, also when it fails.
///
/// On `Ok` the sink holds all that the lake held when each table was opened. On `Err` it holds a part of
/// it and the next call goes on from there.
///
/// # Errors
/// When the lake cannot be read or the sink does not take a piece.
pub async fn backfill(
    lake: &Lake,
    sink: &dyn Sink,
    delivered: &mut Delivered,
    watch: &mut (dyn FnMut(&Delivered) + Send),
) -> Result<(), LoadError> {
    for table in sink.tables() {
        fill(lake, sink, *table, delivered, watch).await?;
        deliver_table(lake, sink, *table, delivered).await?;
        watch(delivered);
    }
    Ok(())
}

/// The part of a backfill that the log does not tell.
async fn fill(
    lake: &Lake,
    sink: &dyn Sink,
    table: Table,
    delivered: &mut Delivered,
    watch: &mut (dyn FnMut(&Delivered) + Send),
) -> Result<(), LoadError> {
    let failed = |source| LoadError::Sink {
        name: sink.name().to_owned(),
        source,
    };
    let other_lake = || LoadError::OtherLake {
        name: sink.name().to_owned(),
        table: table.name(),
    };
    let Some(open) = lake.table(table).await.map_err(LoadError::Lake)? else {
        return Ok(());
    };
    open.refuse_newer().map_err(LoadError::Lake)?;
    let table_id = open.id().map_err(LoadError::Lake)?;
    let (filling, open, first) = match sink.checkpoint(table).await.map_err(failed)? {
        Some(held) => match Filling::read(&held) {
            None => return Ok(()),
            Some(filling) if filling.table_id() != table_id => return Err(other_lake()),
            Some(filling) => {
                let open = lake.table_at(table, filling.version()).await;
                let open = open.map_err(LoadError::Lake)?.ok_or_else(other_lake)?;
                (filling, open, held.version + 1)
            }
        },
        None if open.has_whole_history().await.map_err(LoadError::Lake)? => return Ok(()),
        None => {
            let version = open.version();
            (Filling::new(table_id, version), open, 0)
        }
    };
    let mut pieces = Pieces::new(&open)?;
    let mut last = first.checked_sub(1).map(|piece| filling.at(piece));
    while let Some(rows) = pieces.next().await? {
        let piece = pieces.number;
        pieces.number += 1;
        if piece < first {
            continue;
        }
        // Somebody else who fills it, perhaps with another version, must not be mixed with this.
        if sink.checkpoint(table).await.map_err(failed)? != last {
            return Err(LoadError::FilledByOthers {
                name: sink.name().to_owned(),
                table: table.name(),
            });
        }
        last = Some(filling.at(piece));
        let delivery = Delivery {
            table,
            checkpoint: &filling.at(piece),
            rows: &rows,
        };
        let taken = sink.deliver(delivery).await.map_err(failed)?;
        delivered.versions += 1;
        delivered.rows += rows.iter().map(|rows| rows.num_rows() as u64).sum::<u64>();
        delivered.refused += taken.refused;
        watch(delivered);
    }
    sink.advance(table, &filling.whole()).await.map_err(failed)
}

/// The rows of a version in pieces: always the same ones, and no more of them than there are versions, so
/// that a sink that names what it writes by version keeps them apart from those that follow.
struct Pieces<'a> {
    lake: &'a LakeTable,
    files: std::vec::IntoIter<postlake_lake::StoredFile>,
    rows:
        Option<futures::stream::BoxStream<'static, Result<RecordBatch, postlake_lake::LakeError>>>,
    held: Vec<RecordBatch>,
    piece_rows: u64,
    number: u64,
}

impl<'a> Pieces<'a> {
    fn new(lake: &'a LakeTable) -> Result<Pieces<'a>, LoadError> {
        let mut files = lake.stored_files().map_err(LoadError::Lake)?;
        files.sort_by(|one, two| one.path.cmp(&two.path));
        let rows: Option<u64> = files.iter().map(|file| file.about.rows).sum();
        let even = rows.unwrap_or(u64::MAX).div_ceil(lake.version() + 1);
        Ok(Pieces {
            lake,
            files: files.into_iter(),
            rows: None,
            held: Vec::new(),
            piece_rows: even.max(PIECE_ROWS),
            number: 0,
        })
    }

    /// The next piece; none at the end. It ends with a batch of rows, the first that makes it large enough.
    async fn next(&mut self) -> Result<Option<Vec<RecordBatch>>, LoadError> {
        let mut count = 0;
        while count < self.piece_rows {
            let Some(rows) = &mut self.rows else {
                let Some(file) = self.files.next() else {
                    break;
                };
                let rows = self.lake.rows_of(&file).await;
                self.rows = Some(rows.map_err(LoadError::Lake)?);
                continue;
            };
            match rows.try_next().await.map_err(LoadError::Lake)? {
                None => self.rows = None,
                Some(batch) => {
                    count += batch.num_rows() as u64;
                    let batch = in_types(self.lake.table(), &batch).map_err(LoadError::Rows)?;
                    self.held.push(batch);
                }
            }
        }
        let piece = std::mem::take(&mut self.held);
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

#[cfg(test)]
mod tests;
