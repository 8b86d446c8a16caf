//! Columns of a table and of this release: what an older release lacked is added, what a newer one has
//! added is left to it.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use deltalake_core::kernel::engine::arrow_conversion::TryFromArrow as _;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, MetadataExt as _, StructField, StructType};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::{DeltaResult, DeltaTable};
use postlake_event::schema::Table;

use super::LakeTable;
use crate::error::{ErrorKind, LakeError};

/// Columns that this release does not know, or knows as something else.
#[derive(Debug, thiserror::Error)]
#[error(
    "it has columns of a newer release, which this one does not know: {}; use that release, or a later one",
    .columns.join(", ")
)]
pub struct NewerColumns {
    /// Their names, and the type of those that are known with another one.
    pub columns: Vec<String>,
}

impl LakeTable {
    /// Refuses a table that a newer release has given columns: what this release writes would lack them.
    ///
    /// # Errors
    /// [`ErrorKind::Newer`] with [`NewerColumns`].
    pub fn refuse_newer(&self) -> Result<(), LakeError> {
        refuse_newer(self.table(), self.delta())
    }

    /// Adds the columns that an older release did not know, in one commit that has nothing else. Rows
    /// that are there have null in them. Does nothing when none is lacking.
    ///
    /// # Errors
    /// [`ErrorKind::Newer`] when a newer release has added columns, [`ErrorKind::Conflict`] when
    /// somebody committed since the table was read.
    pub(crate) async fn add_columns(&mut self) -> Result<(), LakeError> {
        self.refuse_newer()?;
        let table = self.table();
        let doing = || format!("add columns to the table {}", table.name());
        let added = lacking(table, self.delta())?;
        if added.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = added.iter().map(|field| field.name().as_str()).collect();
        tracing::info!(
            columns = names.join(", "),
            "the table {} gets columns that an older release did not know",
            table.name()
        );
        let committed = self.commit_columns(added).await;
        committed.map_err(|source| LakeError::delta(doing(), source))
    }

    async fn commit_columns(&mut self, added: Vec<StructField>) -> DeltaResult<()> {
        let snapshot = self.delta().snapshot()?;
        let columns = in_order(self.table(), &snapshot.schema(), &added)?;
        let metadata = snapshot.metadata().clone().with_schema(&columns)?;
        let commit = CommitBuilder::from(CommitProperties::default().with_max_retries(0))
            .with_actions(vec![Action::Metadata(metadata)])
            .build(
                Some(snapshot),
                self.delta().log_store(),
                DeltaOperation::AddColumn { fields: added },
            )
            .await?;
        self.take(commit.snapshot());
        Ok(())
    }

    /// Refuses to write rows of this release into a table with other columns than it has: the library
    /// would leave a column out without a word.
    pub(crate) fn has_our_columns(&self) -> Result<(), LakeError> {
        self.refuse_newer()?;
        let lacking = lacking(self.table(), self.delta())?;
        let Some(field) = lacking.first() else {
            return Ok(());
        };
        // Whoever starts over adds them first.
        Err(LakeError::new(
            ErrorKind::Conflict,
            format!("append to the table {}", self.table().name()),
            format!("it has no column {} yet", field.name()),
        ))
    }
}

fn refuse_newer(table: Table, delta: &DeltaTable) -> Result<(), LakeError> {
    let known = known(table)?;
    let there = columns_there(table, delta)?;
    let columns: Vec<String> = there
        .fields()
        .filter_map(|field| match known.field(field.name()) {
            None => Some(field.name().clone()),
            Some(ours) if ours.data_type() == field.data_type() => None,
            Some(_) => Some(format!("{} as {}", field.name(), field.data_type())),
        })
        .collect();
    if columns.is_empty() {
        return Ok(());
    }
    let doing = format!("write into the table {}", table.name());
    let newer = NewerColumns { columns };
    Err(LakeError::new(ErrorKind::Newer, doing, newer))
}

/// Columns of this release that the table does not have.
fn lacking(table: Table, delta: &DeltaTable) -> Result<Vec<StructField>, LakeError> {
    let there = columns_there(table, delta)?;
    let known = known(table)?;
    let lacking = known
        .fields()
        .filter(|field| there.field(field.name()).is_none());
    Ok(lacking
        .map(|field| StructField::nullable(field.name(), field.data_type().clone()))
        .collect())
}

/// What a table of this release has: the columns that are there as they are, and the new ones, in the
/// order that a table has which this release makes.
fn in_order(table: Table, there: &StructType, added: &[StructField]) -> DeltaResult<StructType> {
    let schema = table.schema();
    let fields = schema.fields().iter().filter_map(|field| {
        let name = field.name();
        let new = || added.iter().find(|added| added.name() == name);
        there.field(name).or_else(new).cloned()
    });
    Ok(StructType::try_new(fields)?)
}

fn known(table: Table) -> Result<StructType, LakeError> {
    StructType::try_from_arrow(table.schema().as_ref()).map_err(|source| {
        let doing = format!("name the columns of the table {}", table.name());
        LakeError::new(ErrorKind::Damaged, doing, source)
    })
}

fn columns_there(table: Table, delta: &DeltaTable) -> Result<Arc<StructType>, LakeError> {
    let snapshot = delta.snapshot().map_err(|source| {
        LakeError::delta(
            format!("read the columns of the table {}", table.name()),
            source,
        )
    })?;
    Ok(snapshot.schema())
}

/// The table as this release sees it: columns that it does not have yet are null, each at its place.
/// Columns of a newer release stand behind the others.
pub(crate) fn as_of_today(
    table: Table,
    provider: Arc<dyn TableProvider>,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let (there, ours) = (provider.schema(), table.schema());
    let is_there = |name: &str| there.field_with_name(name).is_ok();
    if ours.fields().iter().all(|field| is_there(field.name())) {
        return Ok(provider);
    }
    let named = |name: &str| Expr::Column(Column::new_unqualified(name));
    let mut columns = Vec::with_capacity(ours.fields().len());
    for field in ours.fields() {
        columns.push(match is_there(field.name()) {
            true => named(field.name()),
            false => lit(ScalarValue::try_from(field.data_type())?).alias(field.name()),
        });
    }
    let theirs = there.fields().iter().map(|field| field.name().as_str());
    let theirs = theirs.filter(|name| ours.field_with_name(name).is_err());
    columns.extend(theirs.map(named));
    let plan = LogicalPlanBuilder::scan(table.name(), provider_as_source(provider), None)?
        .project(columns)?
        .build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

#[cfg(test)]
mod tests;
