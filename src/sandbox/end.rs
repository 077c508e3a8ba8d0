//! How the child can end without a report.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

/// How long the child's last line may be, in characters.
const MAX_LINE: usize = 300;

/// Why the child gave nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChildError {
    /// It did not start.
    #[error("the process that makes the report cannot be started: {0}")]
    Start(std::io::Error),
    /// The system does not let it be waited for.
    #[error("the process that makes the report cannot be waited for: {0}")]
    Wait(std::io::Error),
    /// It ended otherwise than it should.
    #[error("the process that makes the report {end}")]
    Ended {
        /// How.
        end: End,
    },
    /// It took too long.
    #[error("the process that makes the report did not end within {limit:.1?}")]
    TimeUp {
        /// How long it could have taken.
        limit: Duration,
    },
    /// This program is to end.
    #[error("the report was interrupted by {signal}")]
    Interrupted {
        /// The signal.
        signal: &'static str,
    },
    /// It wrote more than a report can have.
    #[error("the process that makes the report wrote more than {limit} bytes")]
    TooLong {
        /// How many it may write.
        limit: usize,
    },
    /// What it wrote is no report.
    #[error("what the process that makes the report wrote is none: {problem}")]
    NoReport {
        /// What is wrong with it.
        problem: String,
    },
    /// The allocation failed.
    #[error("the process that makes the report asked for what it may not have: {problem}")]
    Asked {
        /// What is wrong with it.
        problem: String,
    },
}

/// How a process ended, and its last line.
#[derive(Debug)]
pub struct End {
    status: Option<ExitStatus>,
    last_line: Option<String>,
}

impl End {
    /// `status` is none of a process that does not end. `written` is hostile.
    pub(super) fn new(status: Option<ExitStatus>, written: &[u8]) -> Self {
        let text = String::from_utf8_lossy(written);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        let plain = |letter: char| if letter.is_control() { '?' } else { letter };
        let last_line = line.map(|line| line.chars().map(plain).take(MAX_LINE).collect());
        Self { status, last_line }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status.map(|status| (status.signal(), status.code())) {
            None => f.write_str("does not end")?,
            Some((Some(libc::SIGXCPU), _)) => {
                f.write_str("used up its processor time (SIGXCPU)")?
            }
            Some((Some(signal), _)) => match signal_name(signal) {
                Some(name) => write!(f, "was ended by {name}")?,
                None => write!(f, "was ended by signal {signal}")?,
            },
            Some((None, code)) => write!(f, "ended with {}", code.unwrap_or_default())?,
        }
        self.last_line.iter().try_for_each(|line| write!(f, ": {line}"))
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXFSZ => "SIGXFSZ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_bounded_and_has_no_control_characters() {
        let end = |written: &[u8]| End::new(Some(ExitStatus::from_raw(6)), written).to_string();
        assert_eq!(end(b""), "was ended by SIGABRT");
        assert_eq!(end(b"one\ntwo\x1b[2J\n\n"), "was ended by SIGABRT: two?[2J");
        assert_eq!(end(&[b'x'; 5000]).len(), "was ended by SIGABRT: ".len() + MAX_LINE);
        assert_eq!(
            End::new(Some(ExitStatus::from_raw(101 << 8)), b"panicked").to_string(),
            "ended with 101: panicked"
        );
        assert_eq!(End::new(None, b"").to_string(), "does not end");
        let end = End::new(Some(ExitStatus::from_raw(libc::SIGXCPU)), b"");
        assert_eq!(end.to_string(), "used up its processor time (SIGXCPU)");
    }
}
