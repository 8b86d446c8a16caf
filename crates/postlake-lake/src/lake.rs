//! The four tables as one thing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use deltalake_core::kernel::StructType;
use deltalake_core::kernel::engine::arrow_conversion::TryFromArrow as _;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaTable, DeltaTableBuilder};
use object_store_lake::ObjectStore;
use postlake_event::schema::Table;

use crate::error::{ErrorKind, LakeError};
use crate::location::{root_store, table_url};
use crate::table::LakeTable;
use postlake_location::DataUrl;

/// Log entries between two checkpoints of a table's log.
const CHECKPOINT_INTERVAL: &str = "100";

/// Commits of others that may come between reading a table and adding its columns.
const ATTEMPTS: u32 = 20;

/// The lake below a data URL. Cheap to clone; holds no table open.
#[derive(Clone)]
pub struct Lake {
    url: DataUrl,
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Lake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Lake({})", self.url)
    }
}

impl Lake {
    /// The lake at `url`. Touches nothing yet.
    ///
    /// # Errors
    /// When the store cannot be set up, as for S3 without a region or with a broken endpoint.
    pub fn open(url: &DataUrl) -> Result<Lake, LakeError> {
        let store = root_store(url).map_err(|source| {
            LakeError::new(
                ErrorKind::Unavailable,
                format!("open the lake at {url}"),
                source,
            )
        })?;
        Ok(Lake {
            url: url.clone(),
            store,
        })
    }

    /// Where the lake lies.
    pub fn url(&self) -> &DataUrl {
        &self.url
    }

    /// Creates the tables that do not exist yet, and gives those of an older release the columns that it
    /// did not know. On `Ok` all four exist and have every column of this release.
    ///
    /// # Errors
    /// When the store refuses; [`ErrorKind::Newer`] when a newer release has given a table columns. Somebody
    /// else doing the same at the same time is no error.
    pub async fn create_missing(&self) -> Result<(), LakeError> {
        for table in Table::ALL {
            self.create(table).await?;
        }
        Ok(())
    }

    async fn create(&self, table: Table) -> Result<(), LakeError> {
        let doing = || format!("create the table {} of {}", table.name(), self.url);
        if let Some(there) = self.table(table).await? {
            return self.add_columns(there).await;
        }
        if let Some(directory) = self.url.directory() {
            let path = directory.join("lake").join(table.name());
            std::fs::create_dir_all(path)
                .map_err(|source| LakeError::new(ErrorKind::Unavailable, doing(), source))?;
        }
        let schema = StructType::try_from_arrow(table.schema().as_ref())
            .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))?;
        let delta = self.unloaded(table)?;
        let created = CreateBuilder::new()
            .with_log_store(delta.log_store())
            .with_table_name(table.name())
            .with_columns(schema.fields().cloned())
            .with_partition_columns([table.partition_column()])
            .with_configuration([
                ("delta.checkpointInterval", Some(CHECKPOINT_INTERVAL)),
                // Sinks read the log from their own position on, however far behind they are.
                ("delta.enableExpiredLogCleanup", Some("false")),
            ])
            .with_save_mode(SaveMode::Ignore)
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(source) => {
                let error = LakeError::delta(doing(), source);
                match error.kind() {
                    ErrorKind::Conflict => Ok(()),
                    _ => Err(error),
                }
            }
        }
    }

    pub(crate) async fn add_columns(&self, mut table: LakeTable) -> Result<(), LakeError> {
        for _ in 1..ATTEMPTS {
            match table.add_columns().await {
                Err(error) if error.kind() == ErrorKind::Conflict => table.refresh().await?,
                ended => return ended,
            }
        }
        table.add_columns().await
    }

    /// Refuses a lake that a newer release has given columns.
    ///
    /// # Errors
    /// [`ErrorKind::Newer`], or when the store does not answer.
    pub async fn refuse_newer(&self) -> Result<(), LakeError> {
        for table in Table::ALL {
            if let Some(there) = self.table(table).await? {
                there.refuse_newer()?;
            }
        }
        Ok(())
    }

    /// A table at its newest version, or `None` if it was not created yet.
    ///
    /// # Errors
    /// When the store does not answer or the table's log cannot be read.
    pub async fn table(&self, table: Table) -> Result<Option<LakeTable>, LakeError> {
        let doing = || format!("open the table {} of {}", table.name(), self.url);
        let mut delta = self.unloaded(table)?;
        let exists = delta
            .verify_deltatable_existence()
            .await
            .map_err(|source| LakeError::delta(doing(), source))?;
        if !exists {
            return Ok(None);
        }
        delta
            .load()
            .await
            .map_err(|source| LakeError::delta(doing(), source))?;
        Ok(Some(LakeTable::new(table, delta, self.scratch())))
    }

    /// A table at an older version, or `None` if it was not created yet.
    ///
    /// # Errors
    /// When the store does not answer, or the version is no longer in the log.
    pub async fn table_at(
        &self,
        table: Table,
        version: u64,
    ) -> Result<Option<LakeTable>, LakeError> {
        let doing = || format!("open version {version} of the table {}", table.name());
        let mut delta = self.unloaded(table)?;
        let exists = delta
            .verify_deltatable_existence()
            .await
            .map_err(|source| LakeError::delta(doing(), source))?;
        if !exists {
            return Ok(None);
        }
        delta
            .load_version(version)
            .await
            .map_err(|source| LakeError::delta(doing(), source))?;
        Ok(Some(LakeTable::new(table, delta, self.scratch())))
    }

    /// Where files without names may lie: with the data, or where there is room for them.
    fn scratch(&self) -> PathBuf {
        let directory = self.url.directory();
        directory.map_or_else(std::env::temp_dir, PathBuf::from)
    }

    fn unloaded(&self, table: Table) -> Result<DeltaTable, LakeError> {
        let doing = || format!("locate the table {} of {}", table.name(), self.url);
        let url = table_url(&self.url, table.name())
            .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))?;
        DeltaTableBuilder::from_url(url.clone())
            .map(|builder| builder.with_storage_backend(Arc::clone(&self.store), url))
            .and_then(DeltaTableBuilder::build)
            .map_err(|source| LakeError::delta(doing(), source))
    }
}
