//! A fresh session per question, holding the four tables, the two views and nothing else.

use std::sync::Arc;

use datafusion::datasource::ViewTable;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use postlake_event::schema::Table;

use super::error::SqlError;
use super::limits::SqlLimits;
use super::views;
use crate::source::TableSet;

/// Functions that build one value of any size out of a few characters, outside of the memory pool.
const REMOVED_FUNCTIONS: [&str; 13] = [
    "repeat",
    "lpad",
    "rpad",
    "space",
    "array_repeat",
    "list_repeat",
    "array_resize",
    "list_resize",
    "generate_series",
    "gen_series",
    "range",
    "array_pad",
    "list_pad",
];

/// A runtime that shares the caches of `base` and has a memory pool and a spill limit of its own.
pub(super) fn runtime(base: &RuntimeEnv, limits: &SqlLimits) -> Result<Arc<RuntimeEnv>, SqlError> {
    let spill = match limits.max_spill_bytes {
        0 => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        bytes => DiskManagerBuilder::default().with_max_temp_directory_size(bytes),
    };
    RuntimeEnvBuilder::from_runtime_env(base)
        .with_disk_manager_builder(spill)
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(limits.max_memory_bytes)))
        .build_arc()
        .map_err(|error| SqlError::internal("cannot prepare a query", error))
}

/// A session over `tables`.
pub(super) async fn session(
    runtime: Arc<RuntimeEnv>,
    tables: &TableSet,
) -> Result<SessionContext, SqlError> {
    let config = SessionConfig::new().with_information_schema(true);
    let context = SessionContext::new_with_config_rt(config, runtime);
    for function in REMOVED_FUNCTIONS {
        context.deregister_udf(function);
    }
    for table in Table::ALL {
        context.register_table(table.name(), tables.provider(table))?;
    }
    let definitions = [
        views::health_scores(),
        views::LATEST_HEALTH_SCORES.to_owned(),
    ];
    for (name, definition) in views::VIEWS.into_iter().zip(definitions) {
        let plan = context.state().create_logical_plan(&definition).await?;
        let view = ViewTable::new(plan, Some(definition));
        context.register_table(name, Arc::new(view))?;
    }
    Ok(context)
}
