//! The thread that writes to stderr, so that no other thread waits for it.
//!
//! A terminal that is stopped with Ctrl-S, or a pipe without a reader, blocks
//! its writer. The thread that holds a guest only queues lines. A full queue drops
//! them, and their number is printed later.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::progress_bar::Bar;
use crate::corefile::write::Progress;
use crate::printable::shown;
use crate::remote::address::without_secrets;

/// How many messages may wait. A capture has a few dozen.
const QUEUE: usize = 256;
/// How long the end waits for the last lines.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

enum Message {
    Line(String),
    Progress(Progress),
    DumpEnded,
}

/// A queue of lines, and the thread that writes them.
pub(super) struct StderrWriter {
    messages: Sender<Message>,
    dropped: Arc<AtomicU64>,
    /// Disconnected when everything is written.
    drained: Receiver<()>,
}

impl StderrWriter {
    /// A writer to stderr.
    pub(super) fn on_stderr() -> io::Result<Self> {
        Self::on(io::stderr(), io::stderr().is_terminal())
    }

    fn on(mut out: impl Write + Send + 'static, terminal: bool) -> io::Result<Self> {
        let (messages, queue) = bounded(QUEUE);
        let (writing, drained) = bounded(0);
        let dropped = Arc::new(AtomicU64::new(0));
        let missing = Arc::clone(&dropped);
        thread::Builder::new().name("stderr".to_owned()).spawn(move || {
            write_all(&queue, &missing, &mut out, terminal);
            drop(writing);
        })?;
        Ok(Self { messages, dropped, drained })
    }

    /// Queues a line. What is not printable in it is replaced. Never waits.
    pub(super) fn line(&self, line: &str) {
        if self.messages.try_send(Message::Line(shown(&without_secrets(line)))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows how far the dump is, unless other messages are queued.
    /// Never waits.
    pub(super) fn progress(&self, progress: Progress) {
        if self.messages.is_empty() {
            let _ = self.messages.try_send(Message::Progress(progress));
        }
    }

    /// Takes the progress away. Never waits.
    pub(super) fn dump_ended(&self) {
        let _ = self.messages.try_send(Message::DumpEnded);
    }

    /// Queues the last lines, and waits up to two seconds until all are written.
    pub(super) fn end(self, lines: impl IntoIterator<Item = String>) {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        for line in lines {
            if self
                .messages
                .send_deadline(Message::Line(shown(&without_secrets(&line))), deadline)
                .is_err()
            {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(self.messages);
        // A thread that hangs in a write goes with the process.
        let _ = self.drained.recv_deadline(deadline);
    }
}

/// Writes what comes, until the queue is disconnected.
fn write_all(queue: &Receiver<Message>, dropped: &AtomicU64, out: &mut impl Write, terminal: bool) {
    let mut bar = Bar::default();
    // A line that stderr does not take has nowhere else to go.
    for message in queue {
        match message {
            Message::Line(line) => bar.suspend(|| {
                let _ = writeln!(out, "{line}");
            }),
            Message::Progress(progress) if terminal => bar.show(progress),
            Message::Progress(_) => {}
            Message::DumpEnded => bar.clear(),
        }
        // What was dropped came after all that waited.
        if queue.is_empty() {
            bar.suspend(|| write_dropped(dropped, out));
        }
    }
    bar.clear();
    write_dropped(dropped, out);
}

fn write_dropped(dropped: &AtomicU64, out: &mut impl Write) {
    let count = dropped.swap(0, Ordering::Relaxed);
    if count > 0 {
        let _ = writeln!(out, "note: {count} lines are missing here: stderr was blocked");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A stderr that takes nothing as long as its lock is held.
    #[derive(Clone, Default)]
    struct Stuck(Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_stderr_blocks_no_sender_and_dropped_lines_are_counted() {
        let out = Stuck::default();
        let held = out.0.lock().unwrap();
        let writer = StderrWriter::on(out.clone(), false).unwrap();
        for number in 0..QUEUE + 100 {
            writer.line(&number.to_string());
        }
        drop(held);
        writer.end(["the end".to_owned()]);
        let written = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let missing = written.lines().find_map(|line| line.strip_prefix("note: ")).expect("a note");
        let missing: usize = missing.split(' ').next().unwrap().parse().unwrap();
        // The thread may have taken one line before it hung.
        assert!((99..=100).contains(&missing), "{written}");
        assert_eq!(written.lines().count(), QUEUE + 100 - missing + 2, "{written}");
        assert!(written.starts_with("0\n1\n") && written.contains("the end\n"));
    }

    #[test]
    fn the_end_does_not_wait_for_a_blocked_stderr() {
        let out = Stuck::default();
        let held = out.0.lock().unwrap();
        let writer = StderrWriter::on(out.clone(), false).unwrap();
        writer.end((0..2 * QUEUE).map(|number| number.to_string()));
        // It has returned, and stderr is still blocked.
        drop(held);
    }
}
