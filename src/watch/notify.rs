//! The command of the configuration that gets the metadata of each entry.
//!
//! It runs after the guest's release, one at a time, on a thread that nothing waits for. It has
//! the metadata on its stdin, `VMCORECTL_ENTRY`, `VMCORECTL_TITLE`, `VMCORECTL_SIGNATURE` and
//! `VMCORECTL_URL`, and a limit of time.

use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};

/// How often the end of the command is looked for.
const INTERVAL: Duration = Duration::from_millis(10);

/// What is to be run.
#[derive(Clone, Debug)]
pub(super) struct Notification {
    /// The program and its arguments.
    pub(super) command: Vec<String>,
    /// How long it may take.
    pub(super) limit: Duration,
    /// What it has on its stdin.
    pub(super) json: Vec<u8>,
    /// The entry's directory.
    pub(super) entry: String,
    /// The crash in one line.
    pub(super) title: String,
    /// Its signature; empty if it has none.
    pub(super) signature: String,
    /// Where the entry is pushed to; empty if it is not.
    pub(super) url: String,
}

impl Notification {
    /// Runs the command. Fails with what a message says.
    pub(super) fn run(&self) -> Result<(), String> {
        let Some((program, arguments)) = self.command.split_first() else { return Ok(()) };
        let deadline = Instant::now() + self.limit;
        let mut child = Command::new(program)
            .args(arguments)
            .env("VMCORECTL_ENTRY", &self.entry)
            .env("VMCORECTL_TITLE", &self.title)
            .env("VMCORECTL_SIGNATURE", &self.signature)
            .env("VMCORECTL_URL", &self.url)
            // Nothing that it starts outlives its limit.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {program}: {error}"))?;
        if let Some(stdin) = child.stdin.take() {
            write(&OwnedFd::from(stdin), &self.json, deadline);
        }
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => break Ok(()),
                Ok(Some(status)) => break Err(format!("{program} failed: {status}")),
                Ok(None) if Instant::now() < deadline => thread::sleep(INTERVAL),
                Ok(None) => break Err(format!("{program} took longer than {:?}", self.limit)),
                Err(error) => break Err(format!("cannot wait for {program}: {error}")),
            }
        };
        end(&mut child);
        ended
    }
}

/// Ends the command and what it has started.
fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Writes as much as the command reads until the deadline.
fn write(stdin: &OwnedFd, bytes: &[u8], deadline: Instant) {
    let Ok(file) = stdin.try_clone().map(std::fs::File::from) else { return };
    if rustix::fs::fcntl_setfl(stdin, OFlags::NONBLOCK).is_err() {
        return;
    }
    let mut rest = bytes;
    while !rest.is_empty() && Instant::now() < deadline {
        match (&file).write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                let left = Timespec::try_from(left).ok();
                let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::OUT)];
                let _ = poll(&mut fds, left.as_ref());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A command that does not read its stdin is none that fails.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(script: &str, json: Vec<u8>) -> Notification {
        Notification {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            limit: Duration::from_millis(400),
            json,
            entry: "/store/web/1".to_owned(),
            title: "panic".to_owned(),
            signature: "v1-0".to_owned(),
            url: String::new(),
        }
    }

    #[test]
    fn the_command_has_the_metadata_and_its_failure_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let script = format!(
            "cat > {0}; echo $VMCORECTL_ENTRY $VMCORECTL_TITLE $VMCORECTL_SIGNATURE >> {0}",
            file.display()
        );
        let mut notified = notification(&script, b"{}\n".to_vec());
        notified.limit = Duration::from_secs(60);
        notified.run().unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "{}\n/store/web/1 panic v1-0\n");
        let failed = notification("exit 3", Vec::new()).run().unwrap_err();
        assert!(failed.contains("exit status: 3"), "{failed}");
        assert!(Notification { command: vec!["/no/such".to_owned()], ..notified }.run().is_err());
    }

    #[test]
    fn a_command_that_reads_nothing_and_does_not_end_is_ended_with_what_it_started() {
        let failed = notification("sleep 600 & sleep 600", vec![b'x'; 1 << 20]).run().unwrap_err();
        assert!(failed.contains("took longer than"), "{failed}");
    }
}
