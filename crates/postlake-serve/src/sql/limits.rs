//! How much one question may cost.

use std::time::Duration;

/// Limits of SQL that users write.
#[derive(Clone, Copy, Debug)]
pub struct SqlLimits {
    /// Length of the statement in bytes.
    pub max_text_bytes: usize,
    /// Tokens of the statement, white space not counted.
    pub max_tokens: usize,
    /// Operators, joins and set operations of the statement: they build chains that planning walks.
    pub max_operators: usize,
    /// Tables that the statement reads once its common table expressions are written out.
    pub max_relations: u64,
    /// Depth of parentheses and brackets.
    pub max_depth: usize,
    /// Nodes of the logical plan.
    pub max_plan_nodes: usize,
    /// Wall clock of planning and running together.
    pub max_elapsed: Option<Duration>,
    /// Memory of the operators that hold rows (sort, join, aggregate).
    pub max_memory_bytes: usize,
    /// Temporary files that operators may write when memory runs out; 0 for none.
    pub max_spill_bytes: u64,
    /// Rows of an answer; more are cut and the answer says so.
    pub max_rows: Option<usize>,
    /// Size of an answer in memory; more is cut and the answer says so.
    pub max_answer_bytes: usize,
    /// Questions that run at the same time.
    pub max_concurrent: usize,
    /// Who may see how a statement is run.
    pub plans: PlanVisibility,
}

/// Whether `EXPLAIN` is answered. A plan names files of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanVisibility {
    /// `EXPLAIN` is refused.
    Hidden,
    /// `EXPLAIN` is answered.
    Shown,
}

impl SqlLimits {
    /// For questions that come over HTTP.
    pub fn remote() -> SqlLimits {
        SqlLimits {
            max_text_bytes: 64 * 1024,
            max_tokens: 10_000,
            max_operators: 400,
            max_relations: 200,
            max_depth: 40,
            max_plan_nodes: 5_000,
            max_elapsed: Some(Duration::from_secs(10)),
            max_memory_bytes: 256 * 1024 * 1024,
            max_spill_bytes: 0,
            max_rows: Some(10_000),
            max_answer_bytes: 64 * 1024 * 1024,
            max_concurrent: 2,
            plans: PlanVisibility::Hidden,
        }
    }

    /// For the owner of the data at a terminal: no limit on time and rows, temporary files allowed,
    /// plans shown.
    pub fn local() -> SqlLimits {
        SqlLimits {
            max_elapsed: None,
            max_memory_bytes: 1024 * 1024 * 1024,
            max_spill_bytes: 10 * 1024 * 1024 * 1024,
            max_rows: None,
            max_answer_bytes: 1024 * 1024 * 1024,
            max_concurrent: 16,
            plans: PlanVisibility::Shown,
            ..SqlLimits::remote()
        }
    }
}

impl Default for SqlLimits {
    fn default() -> SqlLimits {
        SqlLimits::remote()
    }
}
