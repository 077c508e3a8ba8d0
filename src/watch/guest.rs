//! A guest that is watched, and what a source reports of it.

use std::fs;
use std::time::Instant;

use jiff::Timestamp;

use super::config::OnCrash;

/// A guest, as its source found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guest {
    /// What `capture` takes as GUEST: the path of a socket, or `libvirt:UUID`. It names the guest
    /// in all of the watcher.
    pub(super) key: String,
    /// Its name.
    pub(super) name: Option<String>,
    /// Its UUID.
    pub(super) uuid: Option<String>,
    /// What its domain is configured to do at a panic; `None` without libvirt.
    pub(super) on_crash: Option<OnCrash>,
    /// What distinguishes the QEMU that runs it from the one that ran it before.
    pub(super) incarnation: String,
}

impl Guest {
    /// What people call it.
    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.key)
    }

    /// What the patterns of policies match.
    pub(super) fn names(&self) -> Vec<&str> {
        let key = self.key.as_str();
        self.name.as_deref().into_iter().chain([key]).collect()
    }

    /// Whether libvirt manages it.
    pub(super) fn is_of_libvirt(&self) -> bool {
        self.on_crash.is_some()
    }
}

/// What a source reports of a guest.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// It is there, and its panics will be seen.
    Watched(Guest),
    /// Its policy is to ignore it.
    Ignored(Guest),
    /// It is held by a panic.
    Panicked(Guest, Panic),
    /// It is not held by a panic.
    NotPanicked,
    /// It panicked, and its memory is lost for this reason.
    Lost(Guest, String),
    /// Its monitor does not answer, or another client has it.
    Unreachable,
    /// Its QEMU is gone.
    Gone,
}

/// When a panic was noticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panic {
    /// By the clock that measures waits.
    pub(super) noticed: Instant,
    /// By the clock of the wall.
    pub(super) at: Timestamp,
    /// Whether it was reported when it happened, and not found later.
    pub(super) by_event: bool,
}

impl Panic {
    /// A panic that is noticed now.
    pub(super) fn now(by_event: bool) -> Self {
        Self { noticed: Instant::now(), at: Timestamp::now(), by_event }
    }
}

/// What distinguishes a process from a later one of its number: when it started.
pub(super) fn incarnation(process: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name is in parentheses, and may have any characters.
    let (_, fields) = stat.rsplit_once(')')?;
    let started = fields.split_whitespace().nth(19)?;
    Some(format!("process {process} started {started}"))
}
