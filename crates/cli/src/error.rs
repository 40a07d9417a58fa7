//! Why a command failed, what to do next, and the exit code that says so.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// How a command ends. The numbers are part of the command's interface (`endspan --help`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked for is not there, or a check failed.
    NotFound = 1,
    /// Wrong usage; also clap's code.
    Usage = 2,
    /// The server cannot be reached.
    Unreachable = 3,
    /// The server answered with an error, or with something that is no answer.
    Refused = 4,
    /// An address in use, a directory that cannot be written.
    Local = 5,
}

/// A failure with its hint.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The reader of standard output is gone. Not worth a word: `endspan ls | head` ends like this.
    BrokenPipe,
    /// Everything else.
    Failed {
        /// What went wrong: lower case, no full stop.
        message: String,
        /// What to do next.
        hint: Option<String>,
        /// The exit code.
        exit: Exit,
    },
}

impl CliError {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None, exit }
    }

    /// Adds what to do next.
    pub(crate) fn with_hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Failed { message, exit, .. } => Self::Failed { message, hint: Some(text.into()), exit },
            Self::BrokenPipe => Self::BrokenPipe,
        }
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failed { exit, .. } => *exit as u8,
        }
    }

    /// Says it on standard error, and returns the code to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        if let Self::Failed { message, hint, .. } = self {
            eprintln!("error: {message}");
            if let Some(hint) = hint {
                eprintln!("hint: {hint}");
            }
        }
        ExitCode::from(self.exit_code())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokenPipe => formatter.write_str("broken pipe"),
            Self::Failed { message, .. } => formatter.write_str(message),
        }
    }
}

/// Failures of writing output; reading and other files have their own words.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::new(Exit::Local, format!("cannot write to standard output: {error}")),
        }
    }
}
