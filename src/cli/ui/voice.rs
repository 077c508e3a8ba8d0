//! The thread that writes to stderr, so that nobody else has to wait for it.
//!
//! A terminal that is stopped with Ctrl-S, or a pipe that nobody reads, blocks
//! whoever writes to it. The thread that holds a guest only puts lines into a
//! queue: a full one drops them, and they are counted and told.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::progress_bar::Bar;
use crate::corefile::write::Progress;

/// How many messages may wait. A capture tells a few dozen.
const QUEUE: usize = 256;
/// How long the last lines are waited for in the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

enum Message {
    Line(String),
    Progress(Progress),
    DumpEnded,
}

/// Something to say lines with.
pub(super) struct Voice {
    messages: Sender<Message>,
    dropped: Arc<AtomicU64>,
    /// Disconnected when everything was said.
    said: Receiver<()>,
}

impl Voice {
    /// A voice that speaks on stderr.
    ///
    /// # Errors
    /// Fails if there is no thread to be had.
    pub(super) fn on_stderr() -> io::Result<Self> {
        Self::on(io::stderr(), io::stderr().is_terminal())
    }

    fn on(mut out: impl Write + Send + 'static, terminal: bool) -> io::Result<Self> {
        let (messages, queue) = bounded(QUEUE);
        let (saying, said) = bounded(0);
        let dropped = Arc::new(AtomicU64::new(0));
        let missing = Arc::clone(&dropped);
        thread::Builder::new().name("voice".to_owned()).spawn(move || {
            speak(&queue, &missing, &mut out, terminal);
            drop(saying);
        })?;
        Ok(Self { messages, dropped, said })
    }

    /// Says a line, sooner or later. Never waits.
    pub(super) fn say(&self, line: String) {
        if self.messages.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows how far the dump is, unless something else is still to be said.
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

    /// Says the last lines, and waits a moment until all are said.
    pub(super) fn end(self, lines: impl IntoIterator<Item = String>) {
        let deadline = Instant::now() + LAST_WORDS;
        for line in lines {
            if self.messages.send_deadline(Message::Line(line), deadline).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(self.messages);
        // A thread that hangs in a write goes with the process.
        let _ = self.said.recv_deadline(deadline);
    }
}

/// Says what comes, until nothing more can come.
fn speak(queue: &Receiver<Message>, dropped: &AtomicU64, out: &mut impl Write, terminal: bool) {
    let mut bar = Bar::default();
    // Nobody is there to be told if stderr takes no line.
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
            bar.suspend(|| tell_dropped(dropped, out));
        }
    }
    bar.clear();
    tell_dropped(dropped, out);
}

fn tell_dropped(dropped: &AtomicU64, out: &mut impl Write) {
    let count = dropped.swap(0, Ordering::Relaxed);
    if count > 0 {
        let _ = writeln!(out, "note: {count} lines are missing here: nobody read them in time");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A stderr that takes nothing as long as somebody holds its lock.
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
    fn lines_that_nobody_reads_hold_nobody_and_are_counted() {
        let out = Stuck::default();
        let held = out.0.lock().unwrap();
        let voice = Voice::on(out.clone(), false).unwrap();
        for number in 0..QUEUE + 100 {
            voice.say(number.to_string());
        }
        drop(held);
        voice.end(["the end".to_owned()]);
        let said = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let missing = said.lines().find_map(|line| line.strip_prefix("note: ")).expect("a note");
        let missing: usize = missing.split(' ').next().unwrap().parse().unwrap();
        // The thread may have taken one line before it hung.
        assert!((99..=100).contains(&missing), "{said}");
        assert_eq!(said.lines().count(), QUEUE + 100 - missing + 2, "{said}");
        assert!(said.starts_with("0\n1\n") && said.contains("the end\n"));
    }

    #[test]
    fn the_end_is_not_waited_for_without_end() {
        let out = Stuck::default();
        let held = out.0.lock().unwrap();
        let voice = Voice::on(out.clone(), false).unwrap();
        let started = Instant::now();
        voice.end((0..2 * QUEUE).map(|number| number.to_string()));
        assert!(started.elapsed() < 10 * LAST_WORDS);
        drop(held);
    }
}
