//! From text to a physical plan, for statements that users write.

use std::sync::Arc;

use datafusion::catalog::TableFunction;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use postlake_event::schema::Table;

use super::error::{SqlError, SqlErrorKind};
use super::limits::{PlanVisibility, SqlLimits};
use super::unfold::relations;
use super::views::VIEWS;
use crate::nearest::nearest;

/// Nesting that the parser itself allows; the guard's limit is below it.
const PARSER_RECURSION: usize = 100;

/// A statement of a user with the values of its `$1`, `$2`, ...
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) sql: String,
    pub(super) parameters: Vec<ScalarValue>,
}

/// Plans one reading statement. Ok: a plan that reads known tables only and writes nowhere.
pub(super) async fn physical_plan(
    state: &SessionState,
    question: Question,
    limits: &SqlLimits,
) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    let statement = one_reading_statement(&question.sql, limits.plans)?;
    check_relations(&statement, limits)?;
    check_table_names(state, &statement)?;
    let plan = state.statement_to_plan(statement).await?;
    check_plan(&plan, limits)?;
    let plan = if question.parameters.is_empty() {
        plan
    } else {
        plan.with_param_values(question.parameters)?
    };
    let plan = limited(plan, limits)?;
    Ok(state.create_physical_plan(&plan).await?)
}

fn one_reading_statement(sql: &str, plans: PlanVisibility) -> Result<Statement, SqlError> {
    let mut statements = DFParserBuilder::new(sql)
        .with_recursion_limit(PARSER_RECURSION)
        .build()?
        .parse_statements()?;
    let statement = statements
        .pop_front()
        .ok_or_else(|| SqlError::new(SqlErrorKind::Syntax, "there is no statement"))?;
    if !statements.is_empty() {
        return Err(SqlError::new(
            SqlErrorKind::Forbidden,
            "only one statement at a time is allowed",
        ));
    }
    if reads_only(&statement, plans) {
        Ok(statement)
    } else {
        Err(read_only())
    }
}

fn read_only() -> SqlError {
    SqlError::new(
        SqlErrorKind::Forbidden,
        "the lake is read-only here: only SELECT, WITH, VALUES, DESCRIBE and SHOW TABLES are allowed",
    )
}

fn reads_only(statement: &Statement, plans: PlanVisibility) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            statement.as_ref(),
            SqlStatement::Query(_)
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ExplainTable { .. }
        ),
        Statement::Explain(explain) => {
            plans == PlanVisibility::Shown && reads_only(&explain.statement, plans)
        }
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

fn check_relations(statement: &Statement, limits: &SqlLimits) -> Result<(), SqlError> {
    let relations = match statement {
        Statement::Statement(statement) => relations(statement),
        Statement::Explain(explain) => return check_relations(&explain.statement, limits),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => 0,
    };
    if relations > limits.max_relations {
        return Err(SqlError::new(
            SqlErrorKind::TooLarge,
            format!(
                "the statement reads {relations} tables once its common table expressions are written out; the limit is {}",
                limits.max_relations
            ),
        ));
    }
    Ok(())
}

/// Names that are not ours are answered here, before the planner looks for files or catalogs.
fn check_table_names(state: &SessionState, statement: &Statement) -> Result<(), SqlError> {
    for reference in state.resolve_table_references(statement)? {
        let known = known_table(&reference)
            || state
                .table_functions()
                .get(reference.table())
                .map(|function: &Arc<TableFunction>| function.name())
                .is_some();
        if !known {
            return Err(unknown_table(reference.table()));
        }
    }
    Ok(())
}

fn known_table(reference: &TableReference) -> bool {
    let catalog = reference.catalog().unwrap_or("datafusion");
    match (catalog, reference.schema()) {
        ("datafusion", Some("information_schema")) => true,
        ("datafusion", None | Some("public")) => {
            table_names().any(|name| name == reference.table())
        }
        _ => false,
    }
}

fn table_names() -> impl Iterator<Item = &'static str> {
    Table::ALL.into_iter().map(Table::name).chain(VIEWS)
}

fn unknown_table(name: &str) -> SqlError {
    let names: Vec<_> = table_names().collect();
    let guess = match nearest(name, table_names()) {
        Some(guess) => format!(" Did you mean '{guess}'?"),
        None => String::new(),
    };
    SqlError::new(
        SqlErrorKind::Unknown,
        format!(
            "No table named '{name}'.{guess}\nTables are {}.",
            names.join(", ")
        ),
    )
}

/// The second wall behind the list of statements, and the limit on the plan's size.
fn check_plan(plan: &LogicalPlan, limits: &SqlLimits) -> Result<(), SqlError> {
    let mut nodes = 0_usize;
    plan.apply_with_subqueries(|_| {
        nodes += 1;
        Ok(if nodes > limits.max_plan_nodes {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    if nodes > limits.max_plan_nodes {
        return Err(SqlError::new(
            SqlErrorKind::TooLarge,
            format!(
                "the statement unfolds to more than {} steps; use fewer joins or common table expressions",
                limits.max_plan_nodes
            ),
        ));
    }
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|_| read_only())
}

/// One row more than the answer may hold: enough to know that it was cut, and the sort needs to keep
/// no more than that.
fn limited(plan: LogicalPlan, limits: &SqlLimits) -> Result<LogicalPlan, SqlError> {
    let is_listing = matches!(
        plan,
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_)
    );
    match limits.max_rows {
        Some(rows) if !is_listing => Ok(LogicalPlanBuilder::from(plan)
            .limit(0, Some(rows.saturating_add(1)))?
            .build()?),
        _ => Ok(plan),
    }
}
