//! Has entries pushed to object storage, by a process that runs `push --all`.
//!
//! It is started after a capture has ended, and again as long as something waits. What is sent and
//! when it is tried again is in the queue of that process, on disk: nothing is lost with the
//! watcher, and no guest waits for a network.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::process::Signal;
use serde::Deserialize;

use super::config::Config;
use super::process::{Handle, Limits, Output, Process};
use super::record::{Level, Record};
use super::shared::Shared;

/// How soon it is tried again if something waits. The queue's own pauses are longer.
const PAUSE: Duration = Duration::from_secs(60);
/// The same, if nothing does.
const IDLE: Duration = Duration::from_mins(10);
/// How long one process may run: a core of 1 TiB takes so long at 6 MiB/s.
const LIMIT: Duration = Duration::from_hours(48);

/// The thread that waits for the process.
pub(super) struct Uploads {
    wake: Sender<()>,
    counts: Arc<Counts>,
}

/// What the thread shares.
#[derive(Default)]
struct Counts {
    pushed: AtomicU64,
    failed: AtomicU64,
    process: Mutex<Option<Handle>>,
}

/// What the process prints of an entry.
#[derive(Deserialize)]
struct Line {
    entry: String,
    to: String,
    result: String,
    error: Option<String>,
}

impl Uploads {
    pub(super) fn start(shared: &Arc<Shared>, store: &Path) -> io::Result<Self> {
        let (wake, wakes) = bounded(1);
        let counts: Arc<Counts> = Arc::default();
        let worker = Worker {
            shared: Arc::clone(shared),
            store: store.to_owned(),
            counts: Arc::clone(&counts),
        };
        thread::Builder::new().name("uploads".to_owned()).spawn(move || worker.run(&wakes))?;
        Ok(Self { wake, counts })
    }

    /// There may be a new entry. Never waits.
    pub(super) fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// How many entries were pushed, and how many tries failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.counts.pushed), count(&self.counts.failed))
    }

    /// Ends the process. The next one goes on where it was.
    pub(super) fn end(self) {
        drop(self.wake);
        let process = self.counts.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = &*process {
            process.signal(Signal::TERM);
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    store: PathBuf,
    counts: Arc<Counts>,
}

impl Worker {
    fn run(&self, wakes: &Receiver<()>) {
        // What an earlier watcher has left.
        let mut pause = Duration::ZERO;
        loop {
            match wakes.recv_timeout(pause) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
            let config = self.shared.config();
            pause = match arguments(&config, &self.store) {
                Some(arguments) => self.push(&arguments),
                None => PAUSE,
            };
        }
    }

    /// Runs the process. Gives how long to wait for the next one.
    fn push(&self, arguments: &[OsString]) -> Duration {
        let output = Process::start(arguments).and_then(|process| {
            let running = || self.counts.process.lock().unwrap_or_else(PoisonError::into_inner);
            *running() = Some(process.handle()?);
            let output = process.wait(&Limits { time: LIMIT, ..Limits::default() }, &|_| {});
            *running() = None;
            output
        });
        match output {
            Ok(output) => {
                self.record(&output);
                if output.status.success() { IDLE } else { PAUSE }
            }
            Err(error) => {
                let text = format!("push cannot be started: {error}");
                self.shared.record(Record::new(Level::Warning, "push", text));
                PAUSE
            }
        }
    }

    fn record(&self, output: &Output) {
        let mut has_said = false;
        for line in output.stdout.split(|byte| *byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
            has_said = true;
            let guest = line.entry.split('/').next().unwrap_or_default();
            let (count, record) = match line.error {
                None if line.result != "pushed" => continue,
                None => {
                    let text = format!("pushed to {}", line.to);
                    (&self.counts.pushed, Record::new(Level::Notice, "pushed", text))
                }
                Some(error) => {
                    let text = format!("not pushed to {}, and tried again: {error}", line.to);
                    (&self.counts.failed, Record::new(Level::Warning, "push", text))
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
            self.shared.record(record.of(guest).with("entry", line.entry.clone()));
        }
        if let Some(error) = output.error.as_ref().filter(|_| !has_said) {
            let text = format!("push has failed: {error}");
            self.shared.record(Record::new(Level::Warning, "push", text));
        }
    }
}

/// What is run, if anything is to be pushed.
fn arguments(config: &Config, store: &Path) -> Option<Vec<OsString>> {
    let to = config.upload.as_ref()?;
    let words = ["push", "--all", "--json", "--to", to, "--store"].map(OsString::from);
    let mut arguments = Vec::from(words);
    arguments.push(store.into());
    if let Some(limit) = config.upload_limit_rate {
        arguments.extend(["--limit-rate".into(), limit.to_string().into()]);
    }
    if let Some(after) = config.remove_core_after {
        let after = format!("{}s", after.as_secs());
        arguments.extend(["--remove-core-after".into(), after.into()]);
    }
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_without_an_address_pushes_nothing() {
        let store = Path::new("/store");
        assert_eq!(arguments(&Config::default(), store), None);
        let text = "upload = \"s3://b/a\"\nupload-limit-rate = \"2M\"\nremove-core-after = \"2h\"";
        let config = Config::parse(Path::new("x"), text).unwrap();
        let words = arguments(&config, store).unwrap();
        let expected = "push --all --json --to s3://b/a --store /store --limit-rate 2097152 --remove-core-after 7200s";
        assert_eq!(words.join(&OsString::from(" ")), OsString::from(expected));
        for wrong in ["s3://b/a?X-Amz-Signature=x", "https://host/a", "/tmp/a"] {
            let text = format!("upload = {wrong:?}");
            let error = Config::parse(Path::new("x"), &text).unwrap_err();
            assert!(error.message.contains("no address of object storage"), "{error}");
        }
    }
}
