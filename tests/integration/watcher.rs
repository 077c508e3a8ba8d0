//! A watcher under test: its configuration, and what it reports.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::scripted_qemu::{ScriptedQemu, TEST_TIMEOUT};
use crate::setting::signal;
use crate::tool::{self, Listing};

/// Where a watcher works: a configuration and a store.
pub(crate) struct Host {
    folder: TempDir,
    sockets: Vec<PathBuf>,
    /// How often guests are asked whose connection is not kept.
    pub(crate) poll: Option<&'static str>,
}

/// A watcher that runs. Killed when dropped.
pub(crate) struct Watcher {
    child: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Host {
    /// A host of these guests.
    pub(crate) fn new<'q>(guests: impl IntoIterator<Item = &'q ScriptedQemu>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sockets = guests.into_iter().map(ScriptedQemu::socket).collect();
        Self { folder, sockets, poll: None }
    }

    /// The store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A path beside the store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is in the store.
    pub(crate) fn listing(&self) -> Listing {
        tool::listing(&self.store())
    }

    /// Writes the configuration: what every test needs, then `more`, whose first keys are of no
    /// table.
    pub(crate) fn configure(&self, more: &str) -> PathBuf {
        self.configure_libvirt("off", more)
    }

    /// The same, with a libvirt.
    pub(crate) fn configure_libvirt(&self, libvirt: &str, more: &str) -> PathBuf {
        let (top, tables) = match more.find("\n[") {
            Some(at) => more.split_at(at),
            None => (more, ""),
        };
        // The disk that tests run on may be nearly full.
        let (guards, tables) = match tables.split_once("[guards]") {
            Some((before, guards)) => (guards, before),
            None => ("", tables),
        };
        let store = self.store();
        let spool = self.path("spool");
        let poll = self.poll.map(|poll| format!("poll = {poll:?}")).unwrap_or_default();
        let text = format!(
            "store = {store:?}\nspool = {spool:?}\nlibvirt = {libvirt:?}\n{top}\n\
             [[sockets]]\npaths = {:?}\n{poll}\n{tables}\n[guards]\nkeep-free = \"0\"\n{guards}\n",
            self.sockets
        );
        let file = self.path("vmcorectl.toml");
        std::fs::write(&file, text).expect("a configuration");
        file
    }

    /// Starts a watcher with this configuration.
    pub(crate) fn watch(&self, more: &str) -> Watcher {
        Watcher::start(&self.configure(more), &[])
    }
}

impl Watcher {
    /// Starts a watcher through a command, if one is given.
    pub(crate) fn start(config: &Path, through: &[&str]) -> Self {
        let mut command = vec!["env", "--default-signal=HUP,INT,QUIT"];
        command.extend(through);
        let config = config.to_str().expect("a path in UTF-8");
        let mut child = tool::start_through(&command, ["watch", "--config", config, "--json"]);
        let stdout = child.stdout.take().expect("its stdout");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).expect("a line of JSON");
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }
    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The last of what it has reported, in short.
    pub(crate) fn reported(&mut self) -> Vec<String> {
        self.seen.extend(self.lines.try_iter());
        let old = self.seen.len().saturating_sub(200);
        self.seen.drain(..old);
        let short = |record: &Value| {
            let field = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}: {}", field("time"), field("event"), field("guest"), field("message"))
        };
        self.seen.iter().map(short).collect()
    }

    /// Waits for the next record of an event, and gives it.
    #[track_caller]
    pub(crate) fn expect(&mut self, event: &str) -> Value {
        self.expect_that(event, |_| true)
    }

    /// Waits for the next record of an event that is as wanted.
    #[track_caller]
    pub(crate) fn expect_that(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + TEST_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(record) = self.lines.recv_timeout(left) else {
                let _ = self.child.kill();
                panic!("no {event} came: {:#?}", self.seen);
            };
            self.seen.push(record.clone());
            if record["event"] == event && wanted(&record) {
                return record;
            }
        }
    }

    /// Checks that no record of an event comes in this time.
    #[track_caller]
    pub(crate) fn expect_none(&mut self, event: &str, time: Duration) {
        let deadline = Instant::now() + time;
        while let Ok(record) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            assert_ne!(record["event"], event, "{record}");
            self.seen.push(record);
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, number: Signal) {
        signal(&self.child, number);
    }

    /// Waits until it ends. Gives its exit code, and what it has reported in all.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<Value>) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "it does not end: {:#?}", self.seen);
            std::thread::sleep(Duration::from_millis(5));
        };
        self.seen.extend(self.lines.iter());
        (status.code(), std::mem::take(&mut self.seen))
    }

    /// Ends it by SIGTERM.
    #[track_caller]
    pub(crate) fn stop(self) -> Vec<Value> {
        self.signal(Signal::TERM);
        let (code, seen) = self.end();
        assert_eq!(code, Some(0), "{seen:#?}");
        seen
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
