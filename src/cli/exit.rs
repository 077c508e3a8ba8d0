//! The exit codes. They are documented and stay as they are.

use std::process::ExitCode;

use crate::capture::Verdict;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    Failed,
    Usage,
    Incomplete,
    NothingToDo,
    NotReleased,
    ReleasedWithoutDump,
    /// With the code of the debugger that ran.
    OfDebugger(u8),
}

/// A mistake in what was typed that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct UsageError {
    /// What is wrong.
    pub(super) message: String,
    /// What to type instead.
    pub(super) hint: Option<String>,
}

impl Exit {
    /// The code for an error that ended a command.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        if error.is::<UsageError>() { Self::Usage } else { Self::Failed }
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Done => Self::Done,
            Verdict::Failed => Self::Failed,
            Verdict::Incomplete => Self::Incomplete,
            Verdict::NoPanic => Self::NothingToDo,
            Verdict::NotReleased => Self::NotReleased,
            Verdict::ReleasedWithoutDump => Self::ReleasedWithoutDump,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Incomplete => 3,
            Exit::NothingToDo => 4,
            Exit::NotReleased => 5,
            Exit::ReleasedWithoutDump => 6,
            Exit::OfDebugger(code) => code,
        })
    }
}
