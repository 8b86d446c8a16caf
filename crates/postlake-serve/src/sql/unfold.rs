//! How many tables a statement reads once its common table expressions are written out.
//!
//! The planner writes each one out wherever it is named. A chain in which each names the one before
//! twice doubles at every step: thirty short lines become a billion tables, and planning them does not
//! end within any time or memory. It is counted here, before anything is planned.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, Statement, Visit, Visitor, visit_relations,
};

/// The number of tables, each common table expression counted as often as it is named, directly and
/// through others. Never below the true number.
pub(super) fn relations(statement: &Statement) -> u64 {
    let mut unfolding = Unfolding::default();
    match statement.visit(&mut unfolding) {
        ControlFlow::Continue(()) => unfolding.weigh(statement),
        ControlFlow::Break(never) => match never {},
    }
}

/// The weight of each common table expression by name. Of two that share a name the heavier counts.
#[derive(Default)]
struct Unfolding {
    weights: HashMap<String, u64>,
}

enum Never {}

impl Visitor for Unfolding {
    type Break = Never;

    /// Queries inside of this one were visited before: their expressions have weights.
    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Never> {
        for expression in query.with.iter().flat_map(|with| &with.cte_tables) {
            let weight = self.weigh(expression.query.as_ref()).max(1);
            let kept = self
                .weights
                .entry(expression.alias.name.value.to_lowercase())
                .or_default();
            *kept = weight.max(*kept);
        }
        ControlFlow::Continue(())
    }
}

impl Unfolding {
    fn weigh(&self, part: &impl Visit) -> u64 {
        let mut sum = 0_u64;
        let walked: ControlFlow<Never> = visit_relations(part, |name: &ObjectName| {
            sum = sum.saturating_add(self.weight_of(name));
            ControlFlow::Continue(())
        });
        match walked {
            ControlFlow::Continue(()) => sum,
            ControlFlow::Break(never) => match never {},
        }
    }

    fn weight_of(&self, name: &ObjectName) -> u64 {
        let last = name.0.last().and_then(|part| part.as_ident());
        last.and_then(|ident| self.weights.get(&ident.value.to_lowercase()))
            .copied()
            .unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn count(sql: &str) -> u64 {
        let statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        relations(&statements[0])
    }

    #[test]
    fn each_use_counts_and_chains_multiply() {
        assert_eq!(count("select 1"), 0);
        assert_eq!(count("select * from events e join alerts a on true"), 2);
        assert_eq!(count("with a as (select * from events) select * from a"), 2);
        assert!(
            count(
                "with a as (select 1), b as (select * from a x, A y), c as (select * from b x, b y) select * from c x, c y"
            ) >= 8
        );
        let mut chain = "with c0 as (select 1)".to_owned();
        for step in 1..80 {
            let before = step - 1;
            chain += &format!(", c{step} as (select 1 from c{before} a, c{before} b)");
        }
        assert!(count(&format!("{chain} select 1 from c79")) > 1 << 60);
        let hidden = format!("select * from ({chain} select 1 from c79) as x");
        assert!(count(&hidden) > 1 << 60);
        let twice = format!("with x as ({chain} select 1 from c79) select 1 from x");
        assert!(count(&twice) > 1 << 60);
    }
}
