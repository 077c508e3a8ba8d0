//! A process of this program: what it prints, up to a limit, and how it ends.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The most that is read of its stdout, in bytes.
const MAX_OUTPUT: usize = 16 << 20;
/// The longest line of its stderr that is kept, in bytes.
const MAX_LINE: usize = 4 << 10;
/// The most lines of its stderr that are taken.
const MAX_LINES: usize = 1000;
/// How long what it has printed is read once it has ended.
const DRAIN: Duration = Duration::from_secs(1);

/// How long it may run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// In all. It is asked to end then.
    pub(super) time: Duration,
    /// From then on, until it is killed.
    pub(super) grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_hours(6), grace: Duration::from_secs(20) }
    }
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Output {
    /// With which code or signal.
    pub(super) status: ExitStatus,
    /// What it printed.
    pub(super) stdout: Vec<u8>,
    /// Whether it was ended because of its time.
    pub(super) was_ended: bool,
    /// Its last line that begins with `error: `.
    pub(super) error: Option<String>,
    /// Its last line that begins with `title: `.
    pub(super) title: Option<String>,
}

/// A process that runs. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pidfd: OwnedFd,
}

/// Sends signals to a process, and to none that has its number later.
#[derive(Debug)]
pub(super) struct Handle(OwnedFd);

impl Handle {
    /// Sends a signal. A process that has ended needs none.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.0, signal);
    }
}

impl Process {
    /// Starts this program with other arguments, in a process group of its own. It is the program
    /// that runs, whatever has become of its file meanwhile.
    pub(super) fn start(arguments: &[OsString]) -> io::Result<Self> {
        let child = Command::new("/proc/self/exe")
            .arg0(env!("CARGO_PKG_NAME"))
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok(Self { child, pidfd })
    }

    /// What sends it signals.
    pub(super) fn handle(&self) -> io::Result<Handle> {
        self.pidfd.try_clone().map(Handle)
    }

    /// Waits for its end, and gives each line of its stderr to `take_line`.
    pub(super) fn wait(mut self, limits: &Limits, take_line: &dyn Fn(&str)) -> io::Result<Output> {
        let mut stdout = Captured::of(self.child.stdout.take())?;
        let mut stderr = Captured::of(self.child.stderr.take())?;
        let mut lines = Lines::default();
        let mut deadline = Instant::now() + limits.time;
        let mut was_ended = false;
        let status = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let signal = if was_ended { Signal::KILL } else { Signal::TERM };
                let _ = pidfd_send_signal(&self.pidfd, signal);
                was_ended = true;
                deadline = Instant::now() + limits.grace;
                continue;
            }
            let has_ended = self.wait_for_some(&stdout, &stderr, left)?;
            stdout.read(MAX_OUTPUT);
            stderr.read(MAX_LINE);
            lines.take(&mut stderr.bytes, take_line);
            if has_ended && let Some(status) = self.child.try_wait()? {
                break status;
            }
        };
        // What it started may have its stderr still.
        let end = Instant::now() + DRAIN;
        while (stdout.is_open() || stderr.is_open()) && Instant::now() < end {
            let progress = stdout.read(MAX_OUTPUT) | stderr.read(MAX_LINE);
            lines.take(&mut stderr.bytes, take_line);
            if !progress {
                break;
            }
        }
        lines.end(&mut stderr.bytes, take_line);
        Ok(Output {
            status,
            stdout: stdout.bytes,
            was_ended,
            error: lines.error,
            title: lines.title,
        })
    }

    /// Waits for output or the end. Says whether it has ended.
    fn wait_for_some(
        &self,
        stdout: &Captured,
        stderr: &Captured,
        left: Duration,
    ) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        let open = [stdout, stderr].into_iter().filter_map(|output| output.pipe.as_ref());
        fds.extend(open.map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        let left = Timespec::try_from(left).ok();
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(fds.first().is_some_and(|pidfd| !pidfd.revents().is_empty()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What came of one of its streams and was not taken yet.
struct Captured {
    pipe: Option<std::fs::File>,
    bytes: Vec<u8>,
}

impl Captured {
    fn of(pipe: Option<impl Into<OwnedFd>>) -> io::Result<Self> {
        let pipe: Option<OwnedFd> = pipe.map(Into::into);
        if let Some(pipe) = &pipe {
            rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        Ok(Self { pipe: pipe.map(std::fs::File::from), bytes: Vec::new() })
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads what is there. What is beyond `max` is dropped. Says whether anything came.
    fn read(&mut self, max: usize) -> bool {
        let mut chunk = [0; 16 << 10];
        let Some(pipe) = &mut self.pipe else { return false };
        match pipe.read(&mut chunk) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                let room = max.saturating_sub(self.bytes.len()).min(count);
                self.bytes.extend(chunk.get(..room).unwrap_or_default());
                return true;
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.pipe = None,
        }
        false
    }
}

/// The lines of its stderr.
#[derive(Default)]
struct Lines {
    count: usize,
    error: Option<String>,
    title: Option<String>,
}

impl Lines {
    /// Takes the whole lines in `bytes`.
    fn take(&mut self, bytes: &mut Vec<u8>, take_line: &dyn Fn(&str)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let line: Vec<u8> = bytes.drain(..=end).collect();
            self.line(&line, take_line);
        }
        // A line that does not end within the limit.
        if bytes.len() >= MAX_LINE {
            self.end(bytes, take_line);
        }
    }

    /// Takes what is left as a line.
    fn end(&mut self, bytes: &mut Vec<u8>, take_line: &dyn Fn(&str)) {
        let line = std::mem::take(bytes);
        if !line.is_empty() {
            self.line(&line, take_line);
        }
    }

    fn line(&mut self, line: &[u8], take_line: &dyn Fn(&str)) {
        self.count = self.count.saturating_add(1);
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        let after = |word: &str| text.strip_prefix(word).map(str::to_owned);
        self.error = after("error: ").or(self.error.take());
        self.title = after("title: ").or(self.title.take());
        // A release counts, however much was printed before.
        if self.count <= MAX_LINES || crate::capture::is_release(text) {
            take_line(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn run(script: &str, limits: Limits) -> (Output, Vec<String>) {
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let lines = RefCell::new(Vec::new());
        let output = Process { child, pidfd }
            .wait(&limits, &|line| lines.borrow_mut().push(line.to_owned()))
            .unwrap();
        (output, lines.into_inner())
    }

    #[test]
    fn output_is_taken_in_whole_lines_and_the_last_error_and_title_are_kept() {
        let script = "echo out; echo 'title: a' >&2; printf 'error: x\nno end' >&2; exit 3";
        let (output, lines) = run(script, Limits::default());
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(lines, ["title: a", "error: x", "no end"]);
        assert_eq!((output.error.as_deref(), output.title.as_deref()), (Some("x"), Some("a")));
        assert!(!output.was_ended);
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_and_its_output_is_bounded() {
        let limits = Limits { time: Duration::from_millis(300), grace: Duration::from_millis(300) };
        let script = "trap '' TERM; while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2; done";
        let (output, lines) = run(script, limits);
        assert!(output.was_ended && output.status.code().is_none());
        assert!(lines.len() <= MAX_LINES);
    }
}
