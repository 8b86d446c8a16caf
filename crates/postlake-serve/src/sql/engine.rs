//! Asks a question and gathers the answer within the limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use super::error::{SqlError, SqlErrorKind};
use super::limits::SqlLimits;
use super::plan::{Question, physical_plan};
use super::reader::Reader;
use super::{guard, session};
use crate::source::{TableSet, TableSource, Versions};

/// Planning recurses; the tokio workers' stacks are too small for statements at the limits.
const PLANNING_STACK_BYTES: usize = 64 * 1024 * 1024;

/// Stands in for "no limit" where the clock needs a moment.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// SQL over a table source. Cheap to share behind an `Arc`; one question does not see another's session.
pub struct SqlEngine {
    source: Arc<dyn TableSource>,
    limits: SqlLimits,
    base: Arc<RuntimeEnv>,
    running: Arc<Semaphore>,
}

impl fmt::Debug for SqlEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlEngine")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The answer to one question.
#[derive(Clone, Debug)]
pub struct QueryAnswer {
    /// The columns, also when there are no rows.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether rows were cut off at the row or byte limit.
    pub truncated: bool,
    /// Wall clock from question to answer.
    pub elapsed: Duration,
    /// The versions of the tables that were read.
    pub versions: Versions,
    /// What the reader should know, such as "nothing was loaded yet".
    pub notices: Vec<String>,
}

impl QueryAnswer {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

impl SqlEngine {
    /// An engine over `source`; `limits` hold for what users write.
    pub fn new(source: Arc<dyn TableSource>, limits: SqlLimits) -> SqlEngine {
        SqlEngine {
            source,
            limits,
            base: Arc::new(RuntimeEnv::default()),
            running: Arc::new(Semaphore::new(limits.max_concurrent)),
        }
    }

    /// The limits of this engine.
    pub fn limits(&self) -> &SqlLimits {
        &self.limits
    }

    /// The tables as of now.
    ///
    /// # Errors
    ///
    /// [`SqlErrorKind::Unavailable`] when a table cannot be read.
    pub async fn tables(&self) -> Result<TableSet, SqlError> {
        TableSet::take(self.source.as_ref())
            .await
            .map_err(SqlError::unavailable)
    }

    /// Answers one reading statement over the lake as of now.
    ///
    /// # Errors
    ///
    /// See [`SqlErrorKind`]; nothing was changed by a question that failed.
    pub async fn query(&self, sql: &str) -> Result<QueryAnswer, SqlError> {
        self.query_with(sql, Vec::new()).await
    }

    /// As [`SqlEngine::query`], with values for the placeholders `$1`, `$2`, ...
    ///
    /// # Errors
    ///
    /// As [`SqlEngine::query`].
    pub async fn query_with(
        &self,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<QueryAnswer, SqlError> {
        let span = info_span!("query", postlake.rows = Empty, error.type = Empty);
        let answer = self.answer(sql, parameters);
        let answer = answer.instrument(span.clone()).await;
        match &answer {
            Ok(answer) => span.record("postlake.rows", answer.rows()),
            Err(error) => span.record("error.type", error.kind().name()),
        };
        answer
    }

    async fn answer(
        &self,
        sql: &str,
        parameters: Vec<ScalarValue>,
    ) -> Result<QueryAnswer, SqlError> {
        let started = Instant::now();
        let deadline = started + self.limits.max_elapsed.unwrap_or(NO_DEADLINE);
        let permit = self.permit()?;
        guard::check(sql, &self.limits)?;
        let tables = timeout_at(deadline, self.tables())
            .await
            .map_err(|_| self.timed_out())??;
        let question = Question {
            sql: sql.to_owned(),
            parameters,
        };
        let planned = timeout_at(deadline, self.plan(question, tables.clone(), permit))
            .await
            .map_err(|_| self.timed_out())??;
        let (batches, truncated) = timeout_at(deadline, self.gather(&planned))
            .await
            .map_err(|_| self.timed_out())??;
        Ok(QueryAnswer {
            schema: planned.plan.schema(),
            batches,
            truncated,
            elapsed: started.elapsed(),
            versions: tables.versions(),
            notices: notices(&tables),
        })
    }

    /// The rows as they come, for answers of any size: no limit on rows, bytes and time, those on
    /// text, nesting and memory hold. An error in the middle of the stream becomes a [`SqlError`] by
    /// `From`.
    ///
    /// # Errors
    ///
    /// As [`SqlEngine::query`], for everything that shows before the first row.
    pub async fn stream(&self, sql: &str) -> Result<SendableRecordBatchStream, SqlError> {
        let permit = self.permit()?;
        guard::check(sql, &self.limits)?;
        let tables = self.tables().await?;
        let question = Question {
            sql: sql.to_owned(),
            parameters: Vec::new(),
        };
        let unlimited = SqlLimits {
            max_rows: None,
            ..self.limits
        };
        let planned = plan_on_large_stack(
            self.base.as_ref(),
            unlimited,
            question,
            tables,
            Arc::new(permit),
        )
        .await?;
        planned.execute()
    }

    /// A session for our own statements over `tables`.
    pub(crate) async fn reader(&self, tables: &TableSet) -> Result<Reader, SqlError> {
        Reader::open(&self.base, tables).await
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, SqlError> {
        Arc::clone(&self.running).try_acquire_owned().map_err(|_| {
            SqlError::new(
                SqlErrorKind::Busy,
                format!(
                    "{} queries are running, which is the limit; try again in a moment",
                    self.limits.max_concurrent
                ),
            )
        })
    }

    async fn plan(
        &self,
        question: Question,
        tables: TableSet,
        permit: OwnedSemaphorePermit,
    ) -> Result<Planned, SqlError> {
        plan_on_large_stack(
            self.base.as_ref(),
            self.limits,
            question,
            tables,
            Arc::new(permit),
        )
        .await
    }

    async fn gather(&self, planned: &Planned) -> Result<(Vec<RecordBatch>, bool), SqlError> {
        let mut stream = planned.execute()?;
        let mut rows_left = self.limits.max_rows.unwrap_or(usize::MAX);
        let mut bytes = 0_usize;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.num_rows() > rows_left {
                batches.push(batch.slice(0, rows_left));
                return Ok((batches, true));
            }
            rows_left -= batch.num_rows();
            bytes = bytes.saturating_add(held_bytes(&batch));
            batches.push(batch);
            if bytes > self.limits.max_answer_bytes {
                let ended = stream.next().await.is_none();
                return Ok((batches, !ended));
            }
        }
        Ok((batches, false))
    }

    fn timed_out(&self) -> SqlError {
        let seconds = self.limits.max_elapsed.unwrap_or_default().as_secs_f64();
        SqlError::new(
            SqlErrorKind::Timeout,
            format!("the query ran longer than {seconds} s; narrow it, for instance by event_date"),
        )
    }
}

/// A plan that is ready to run, with the permit that counts it as running.
struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    context: SessionContext,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Planned {
    fn execute(&self) -> Result<SendableRecordBatchStream, SqlError> {
        Ok(execute_stream(
            Arc::clone(&self.plan),
            self.context.task_ctx(),
        )?)
    }
}

/// Plans on a thread of its own. When the caller gives up first, the thread still ends by itself and
/// holds its permit until then, so that questions that only plan are counted too.
async fn plan_on_large_stack(
    base: &RuntimeEnv,
    limits: SqlLimits,
    question: Question,
    tables: TableSet,
    permit: Arc<OwnedSemaphorePermit>,
) -> Result<Planned, SqlError> {
    let runtime = session::runtime(base, &limits)?;
    let handle = tokio::runtime::Handle::current();
    let (answer, planned) = oneshot::channel();
    std::thread::Builder::new()
        .name("sql-plan".to_owned())
        .stack_size(PLANNING_STACK_BYTES)
        .spawn(move || {
            let result = handle.block_on(async {
                let context = session::session(runtime, &tables).await?;
                let plan = physical_plan(&context.state(), question, &limits).await?;
                Ok(Planned {
                    plan,
                    context,
                    _permit: permit,
                })
            });
            if answer.send(result).is_err() {
                tracing::debug!("a query was given up while it was planned");
            }
        })
        .map_err(|error| SqlError::internal("cannot start planning a query", error))?;
    planned
        .await
        .map_err(|error| SqlError::internal("planning a query ended early", error))?
}

fn held_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|column| {
            column
                .to_data()
                .get_slice_memory_size()
                .unwrap_or_else(|_| column.get_array_memory_size())
        })
        .sum()
}

fn notices(tables: &TableSet) -> Vec<String> {
    let missing: Vec<_> = tables
        .missing()
        .into_iter()
        .map(|table| table.name())
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "nothing was loaded yet: {} {} not exist and {} as empty",
        missing.join(", "),
        if missing.len() == 1 { "does" } else { "do" },
        if missing.len() == 1 { "reads" } else { "read" },
    )]
}
