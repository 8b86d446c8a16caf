//! Exit codes and how a failure is told.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// What kind of end it is; the numbers are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something else went wrong.
    Failure = 1,
    /// The arguments do not say what is wanted.
    Usage = 2,
    /// The input is not what it should be.
    Data = 65,
    /// A service or a store does not answer.
    Unavailable = 69,
    /// Something cannot be created, or is held by somebody else.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Not now: somebody else is at work, something has to change first, or time has to pass.
    TryAgain = 75,
    /// The configuration is wrong.
    Config = 78,
}

/// A command's failure: what was being done, why it failed, and how the process ends.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    doing: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure that needs no cause.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            doing: message.into(),
            source: None,
        }
    }

    /// A failure with its cause.
    pub(crate) fn caused(
        exit: Exit,
        doing: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Failure {
        Failure {
            exit,
            doing: doing.into(),
            source: Some(source.into()),
        }
    }

    /// Says it on stderr, the whole chain on one line, and gives the exit code.
    #[expect(clippy::print_stderr, reason = "the last words of a command")]
    pub(crate) fn report(&self) -> ExitCode {
        // Names of objects and answers of services are not ours: nothing of them moves a terminal.
        let text = chain(self);
        let lines = text.split('\n').map(postlake_listen::visible);
        eprintln!("postlake: {}", lines.collect::<Vec<_>>().join("\n"));
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.doing)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source.as_ref() as &(dyn Error + 'static))
    }
}

/// An error and its causes, joined by colons.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Libraries often repeat a cause in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
