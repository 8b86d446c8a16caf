//! What can be wrong with a question, and whose fault it is.

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

use crate::source::BoxError;

/// What is wrong, as a closed list; callers decide on this, never on text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlErrorKind {
    /// The text is not SQL.
    Syntax,
    /// A table or column that does not exist is named.
    Unknown,
    /// The statement is SQL but makes no sense: types, functions, arguments, a value that cannot be cast.
    Invalid,
    /// The statement would do something else than read, or is more than one statement.
    Forbidden,
    /// A limit on text, nesting, plan or memory is passed.
    TooLarge,
    /// The wall-clock limit is passed.
    Timeout,
    /// Too many questions run at this moment.
    Busy,
    /// The lake cannot be read now.
    Unavailable,
    /// A fault of ours.
    Internal,
}

impl SqlErrorKind {
    /// The kind's stable name in API answers and logs.
    pub fn name(self) -> &'static str {
        match self {
            SqlErrorKind::Syntax => "sql-syntax",
            SqlErrorKind::Unknown => "sql-unknown-name",
            SqlErrorKind::Invalid => "sql-invalid",
            SqlErrorKind::Forbidden => "sql-forbidden",
            SqlErrorKind::TooLarge => "sql-too-large",
            SqlErrorKind::Timeout => "sql-timeout",
            SqlErrorKind::Busy => "sql-busy",
            SqlErrorKind::Unavailable => "lake-unavailable",
            SqlErrorKind::Internal => "internal",
        }
    }

    /// Whether the person who wrote the statement can mend it.
    pub fn is_users_fault(self) -> bool {
        matches!(
            self,
            SqlErrorKind::Syntax
                | SqlErrorKind::Unknown
                | SqlErrorKind::Invalid
                | SqlErrorKind::Forbidden
                | SqlErrorKind::TooLarge
                | SqlErrorKind::Timeout
        )
    }

    /// Whether the same question may be answered when asked again later.
    pub fn is_retryable(self) -> bool {
        matches!(self, SqlErrorKind::Busy | SqlErrorKind::Unavailable)
    }
}

/// A question that was not answered.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    kind: SqlErrorKind,
    message: String,
    #[source]
    source: Option<BoxError>,
}

impl SqlError {
    pub(crate) fn new(kind: SqlErrorKind, message: impl Into<String>) -> SqlError {
        SqlError {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn unavailable(source: BoxError) -> SqlError {
        SqlError {
            kind: SqlErrorKind::Unavailable,
            message: "cannot read the lake".to_owned(),
            source: Some(source),
        }
    }

    pub(crate) fn internal(message: &str, source: impl Into<BoxError>) -> SqlError {
        SqlError {
            kind: SqlErrorKind::Internal,
            message: message.to_owned(),
            source: Some(source.into()),
        }
    }

    /// What is wrong.
    pub fn kind(&self) -> SqlErrorKind {
        self.kind
    }

    /// The sentence for the caller; it names no file and no part of ours.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Sorts an error of the query engine into a kind. Text of the engine reaches the caller only where it
/// speaks about the caller's statement; the rest becomes a source for the log.
impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> SqlError {
        let (kind, message) = match error.find_root() {
            DataFusionError::SQL(parse, _) => (SqlErrorKind::Syntax, parse.to_string()),
            DataFusionError::SchemaError(schema, _) => schema_fault(schema),
            DataFusionError::Plan(text)
            | DataFusionError::NotImplemented(text)
            | DataFusionError::Execution(text) => (SqlErrorKind::Invalid, first_line(text)),
            DataFusionError::ResourcesExhausted(_) => (
                SqlErrorKind::TooLarge,
                "the query needs more memory than it may use; narrow it with WHERE, or aggregate or LIMIT earlier"
                    .to_owned(),
            ),
            DataFusionError::ArrowError(arrow, _) => match value_fault(arrow) {
                Some(text) => (SqlErrorKind::Invalid, text),
                None => return SqlError::internal("the query failed while it ran", error),
            },
            DataFusionError::Diagnostic(_, _)
            | DataFusionError::Collection(_)
            | DataFusionError::Shared(_)
            | DataFusionError::Context(_, _)
            | DataFusionError::Configuration(_)
            | DataFusionError::Internal(_) => {
                return SqlError::internal("the query could not be planned or run", error);
            }
            _ => return SqlError::unavailable(Box::new(error)),
        };
        SqlError::new(kind, message)
    }
}

fn schema_fault(error: &SchemaError) -> (SqlErrorKind, String) {
    let kind = match error {
        SchemaError::FieldNotFound { .. } => SqlErrorKind::Unknown,
        SchemaError::AmbiguousReference { .. }
        | SchemaError::DuplicateQualifiedField { .. }
        | SchemaError::DuplicateUnqualifiedField { .. } => SqlErrorKind::Invalid,
    };
    (kind, error.to_string())
}

/// Errors of evaluation that a value in the statement or the data causes.
fn value_fault(error: &ArrowError) -> Option<String> {
    match error {
        ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ArithmeticOverflow(text)
        | ArrowError::InvalidArgumentError(text)
        | ArrowError::ComputeError(text) => Some(first_line(text)),
        ArrowError::DivideByZero => Some("division by zero".to_owned()),
        _ => None,
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
