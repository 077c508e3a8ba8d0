//! Runs a debugger in the foreground: the terminal is its own.
//!
//! What the terminal sends (SIGINT, SIGQUIT) reaches the debugger anyway, which
//! knows what to do with it; this process only must not end by it. What others
//! send to this process (SIGTERM, SIGHUP) is passed on to the debugger.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::thread;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator;

use crate::interrupt::not_ignored;

/// The signals that end this process no more, from when it was made.
#[derive(Debug)]
pub struct Signals(iterator::Signals);

impl Signals {
    /// Keeps them from ending this process. What is ignored stays ignored, in the debugger
    /// as well.
    pub fn held() -> io::Result<Self> {
        iterator::Signals::new(not_ignored(&[SIGINT, SIGQUIT, SIGTERM, SIGHUP])).map(Self)
    }
}

/// Runs `command` to its end, and gives its exit code: 128 and the signal's number
/// where one ended it, as a shell does.
pub fn run(mut command: Command, mut signals: Signals) -> io::Result<u8> {
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Not its number: that may be another's by the time of the signal.
    let debugger = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())).transpose()?;
    let handle = signals.0.handle();
    let passing = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for number in signals.0.forever() {
            let signal = match number {
                SIGTERM => Signal::TERM,
                SIGHUP => Signal::HUP,
                _ => continue,
            };
            if let Some(debugger) = &debugger {
                let _ = pidfd_send_signal(debugger, signal);
            }
        }
    });
    let status = child.wait();
    handle.close();
    if let Ok(passing) = passing {
        let _ = passing.join();
    }
    status.map(code)
}

fn code(status: ExitStatus) -> u8 {
    let signal = || status.signal().map(|signal| signal.saturating_add(128));
    status.code().or_else(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_debuggers() {
        for (script, expected) in [("exit 7", 7), ("kill -9 $$", 137), ("exit 0", 0)] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            assert_eq!(run(command, Signals::held().unwrap()).unwrap(), expected, "{script}");
        }
    }
}
