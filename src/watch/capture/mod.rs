//! A capture of the watcher: a process of its own for each panic.
//!
//! ```text
//! guards ──► report, if a guard needs its signature ──► capture ──► result
//! ```
//!
//! A capture that crashes or hangs costs itself only, and the watcher holds no guest's memory.
//! Whatever it prints is read up to a limit, and its time is limited. Everything here is on a
//! thread of its own: a disk that hangs keeps no other guest.

mod guards;
mod result;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::config::{Action, Config, Policy};
use super::guest::{Guest, Panic};
use super::news::{CaptureNews, Ended, News};
use super::process::{Handle, Limits, Output, Process};
use super::record::{Level, Record};
use super::shared::Shared;

/// How long the report may take that only a guard needs.
const REPORT_LIMIT: Duration = Duration::from_secs(60);
/// The shortest hold that a capture is given, however long its guest waited.
const SHORTEST_HOLD: Duration = Duration::from_secs(10);

/// A capture that is to be made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) guest: Guest,
    pub(super) panic: Panic,
    pub(super) policy: Policy,
    pub(super) store: PathBuf,
    /// Why the core is left out, if that is decided already.
    pub(super) left_out: Option<String>,
}

/// A capture that runs.
#[derive(Debug)]
pub(super) struct Running {
    process: Arc<Mutex<Option<Handle>>>,
}

impl Running {
    /// Sends a signal to its process, if it has one now.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.process.lock().unwrap_or_else(PoisonError::into_inner) {
            process.signal(signal);
        }
    }
}

/// Starts a capture. Its news come by `shared`.
pub(super) fn start(job: Job, shared: &Arc<Shared>) -> io::Result<Running> {
    let process = Arc::new(Mutex::new(None));
    let running = Running { process: Arc::clone(&process) };
    let shared = Arc::clone(shared);
    thread::Builder::new().name("capture".to_owned()).spawn(move || {
        let id = job.id;
        let ended = Capture { job, shared: &shared, process: &process }.run();
        shared.report(News::Capture(id, CaptureNews::Ended(Box::new(ended))));
    })?;
    Ok(running)
}

struct Capture<'a> {
    job: Job,
    shared: &'a Shared,
    process: &'a Mutex<Option<Handle>>,
}

impl Capture<'_> {
    fn run(&self) -> Ended {
        let config = self.shared.config();
        let left_out = self.left_out(&config);
        if let Some(reason) = &left_out {
            self.report(CaptureNews::LeavesOut(reason.clone()));
        }
        let arguments = self.arguments(&config, left_out.as_deref());
        let limits = Limits { time: config.capture_limit, ..Limits::default() };
        let output = self.spawn(&arguments, &limits, &|line| self.take_line(line));
        result::result(output, &self.job, &config, left_out)
    }

    fn report(&self, news: CaptureNews) {
        self.shared.report(News::Capture(self.job.id, news));
    }

    /// Why the core is left out.
    fn left_out(&self, config: &Config) -> Option<String> {
        let known = self.job.left_out.clone();
        let by_policy =
            || self.job.policy.report_only.then(|| "its policy is report-only".to_owned());
        let waited = || {
            let longest = self.job.policy.max_hold?;
            let left = longest.checked_sub(self.job.panic.noticed.elapsed());
            left.is_none().then(|| "it waited in the queue for its longest hold".to_owned())
        };
        let crash_loop = config.guards.crash_loop;
        let folder = config.guest_folder(&self.job.store, self.job.guest.name.as_deref());
        let by_loop = || guards::by_crash_loop(crash_loop, folder);
        let by_signature = || {
            let most = config.guards.duplicates?;
            guards::by_signature(most, &self.job.store, &self.signature()?)
        };
        known.or_else(by_policy).or_else(waited).or_else(by_loop).or_else(by_signature)
    }

    /// The signature of the crash, by a report on the held guest.
    fn signature(&self) -> Option<String> {
        let mut arguments: Vec<OsString> = vec!["report".into(), self.job.guest.key.clone().into()];
        arguments.push("--json".into());
        self.connect(&mut arguments);
        let limits = Limits { time: REPORT_LIMIT, ..Limits::default() };
        let output = self.spawn(&arguments, &limits, &|_| {}).ok()?;
        let report: guards::Signature = serde_json::from_slice(&output.stdout).ok()?;
        report.strong()
    }

    fn spawn(
        &self,
        arguments: &[OsString],
        limits: &Limits,
        take_line: &dyn Fn(&str),
    ) -> io::Result<Output> {
        let process = Process::start(arguments)?;
        let handle = process.handle()?;
        let lock = || self.process.lock().unwrap_or_else(PoisonError::into_inner);
        *lock() = Some(handle);
        let output = process.wait(limits, take_line);
        *lock() = None;
        output
    }

    fn arguments(&self, config: &Config, left_out: Option<&str>) -> Vec<OsString> {
        let policy = &self.job.policy;
        let mut arguments: Vec<OsString> =
            vec!["capture".into(), self.job.guest.key.clone().into()];
        let mut add = |option: &str, value: OsString| {
            arguments.push(option.into());
            arguments.push(value);
        };
        add("--store", self.job.store.clone().into());
        add("--then", name(policy.then).into());
        add("--on-failure", name(policy.on_failure).into());
        if let Some(longest) = policy.max_hold {
            let left = longest
                .saturating_sub(self.job.panic.noticed.elapsed())
                .max(SHORTEST_HOLD.min(longest));
            add("--max-hold", format!("{}ms", left.as_millis()).into());
        }
        if let Some(level) = policy.level {
            add("--level", level.to_string().into());
        }
        if let Some(pages) = policy.pages {
            add("--pages", pages.to_string().into());
        }
        if let (Some(bytes), None) = (config.guards.store_size, left_out) {
            add("--store-limit", bytes.to_string().into());
        }
        for recipient in &config.encrypt_to {
            add("--encrypt-to", recipient.into());
        }
        for hide in &config.hide {
            add("--hide", hide.name().into());
        }
        if let Some(bytes) = config.guards.keep_free {
            add("--keep-free", bytes.to_string().into());
        }
        arguments.extend(["--json".into(), "--verbose".into()]);
        if let Some(reason) = left_out {
            arguments.extend(["--report-only".into(), "--reason".into(), reason.into()]);
        }
        self.connect(&mut arguments);
        arguments
    }

    /// How a guest of libvirt is reached.
    fn connect(&self, arguments: &mut Vec<OsString>) {
        if self.job.guest.is_of_libvirt()
            && let Some(uri) = &self.shared.config().libvirt
        {
            arguments.extend(["--connect".into(), uri.into()]);
        }
    }

    /// Takes a line of the capture's stderr.
    fn take_line(&self, line: &str) {
        let label = self.job.guest.label();
        let report = |level, text: &str| {
            self.shared.record(Record::new(level, "capture", text.trim()).of(label));
        };
        match line.split_once(": ") {
            Some(("error", text)) => report(Level::Error, text),
            Some(("warning", text)) => report(Level::Warning, text),
            Some(("hint" | "note", text)) => report(Level::Info, text),
            Some(("title", _)) => {}
            _ if crate::capture::is_release(line) => self.report(CaptureNews::Released),
            _ => {}
        }
    }
}

/// Its name for `capture`, once nothing is left to the domain.
fn name(action: Action) -> &'static str {
    match action {
        Action::OnCrash => Action::Hold.name(),
        other => other.name(),
    }
}
