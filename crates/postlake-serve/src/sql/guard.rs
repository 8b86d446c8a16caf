//! Looks at a statement's tokens before anything is parsed.
//!
//! Parser, planner and the destructors of their trees recurse. A chain of thousands of operators is a
//! tree of that depth and can overflow the stack, which ends the process; it is refused here.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::error::{SqlError, SqlErrorKind};
use super::limits::SqlLimits;

/// Ok when the text keeps the limits on length, tokens, operators and depth; Err says which one not.
pub(super) fn check(sql: &str, limits: &SqlLimits) -> Result<(), SqlError> {
    if sql.len() > limits.max_text_bytes {
        return Err(too_large("text", sql.len(), limits.max_text_bytes, "bytes"));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .map_err(|error| SqlError::new(SqlErrorKind::Syntax, error.to_string()))?;
    let measured = measure(&tokens);
    if measured.tokens > limits.max_tokens {
        return Err(too_large(
            "statement",
            measured.tokens,
            limits.max_tokens,
            "tokens",
        ));
    }
    if measured.operators > limits.max_operators {
        return Err(too_large(
            "statement",
            measured.operators,
            limits.max_operators,
            "operators (write IN (...) instead of many ORs)",
        ));
    }
    if measured.depth > limits.max_depth {
        return Err(too_large(
            "statement",
            measured.depth,
            limits.max_depth,
            "levels of nesting",
        ));
    }
    Ok(())
}

fn too_large(what: &str, found: usize, limit: usize, unit: &str) -> SqlError {
    SqlError::new(
        SqlErrorKind::TooLarge,
        format!("the {what} has {found} {unit}; the limit is {limit}"),
    )
}

#[derive(Default)]
struct Measured {
    tokens: usize,
    operators: usize,
    depth: usize,
}

fn measure(tokens: &[Token]) -> Measured {
    let mut measured = Measured::default();
    let mut depth = 0_usize;
    for token in tokens {
        match token {
            Token::Whitespace(_) | Token::EOF => continue,
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth += 1;
                measured.depth = measured.depth.max(depth);
            }
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        measured.tokens += 1;
        measured.operators += usize::from(builds_a_chain(token));
    }
    measured
}

/// Whether the token adds a level to a tree. Everything that is not plainly a leaf or a separator
/// counts, so that an operator that is new to the tokenizer counts too.
fn builds_a_chain(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.quote_style.is_none()
                && matches!(
                    word.keyword,
                    Keyword::AND
                        | Keyword::OR
                        | Keyword::NOT
                        | Keyword::XOR
                        | Keyword::BETWEEN
                        | Keyword::LIKE
                        | Keyword::ILIKE
                        | Keyword::IS
                        | Keyword::CASE
                        | Keyword::JOIN
                        | Keyword::UNION
                        | Keyword::INTERSECT
                        | Keyword::EXCEPT
                        | Keyword::AT
                        | Keyword::COLLATE
                        | Keyword::EXPLAIN
                )
        }
        Token::Number(_, _)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Placeholder(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::RBracket
        | Token::LBrace
        | Token::RBrace => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(sql: &str) -> Option<SqlErrorKind> {
        check(sql, &SqlLimits::remote())
            .err()
            .map(|error| error.kind())
    }

    #[test]
    fn ordinary_statements_pass() {
        let many_values = vec!["1"; 4_000].join(", ");
        let cases = [
            "select 1".to_owned(),
            "select * from events where \"type\" = 'bounce' and subaccount_id in (1, 2)".to_owned(),
            format!("select * from events where subaccount_id in ({many_values})"),
        ];
        for sql in cases {
            assert_eq!(kind_of(&sql), None);
        }
    }

    #[test]
    fn long_chains_deep_nesting_and_long_texts_are_refused() {
        let cases = [
            format!("select {}", vec!["1"; 2_000].join("+")),
            format!("select 1 where {}", vec!["true"; 20_000].join(" or ")),
            format!("select {}1{}", "(".repeat(500), ")".repeat(500)),
            format!("select {}1", "- ".repeat(3_000)),
            format!("select {} true", "not ".repeat(3_000)),
            format!("select 1{}", "::int".repeat(3_000)),
            format!("select a{}", "[1]".repeat(3_000)),
            vec!["select 1"; 2_000].join(" union all "),
            format!("select '{}'", "x".repeat(10 << 20)),
        ];
        for sql in cases {
            assert_eq!(kind_of(&sql), Some(SqlErrorKind::TooLarge));
        }
    }

    #[test]
    fn an_open_string_is_a_fault_of_syntax() {
        assert_eq!(kind_of("select 'x"), Some(SqlErrorKind::Syntax));
    }
}
