//! Confines this process, before it parses anything of a guest.
//!
//! Each gives what the kernel could not be made to enforce, as sentences; the others hold.
//! To be called while the process has one thread: Landlock holds for the caller and for
//! the threads that it starts later.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_name, set_no_new_privs};

use super::calls;
use super::files::{self, Programs};
use super::limits::{self, Limits};

/// How early the kernel ends this process when the host runs out of memory.
const OUT_OF_MEMORY: &str = "/proc/self/oom_score_adj";
/// Before all others.
const FIRST: &str = "1000";

/// What the kernel could not be made to enforce.
#[derive(Default)]
struct Missing(Vec<String>);

impl Missing {
    fn note<E: ToString>(&mut self, what: &str, done: Result<(), E>) {
        if let Err(error) = done {
            self.0.push(format!("{what}: {}", error.to_string()));
        }
    }
}

/// Confines the child: it has its descriptors, and what `limits` allow.
///
/// It ends with the thread that started it. If the host runs out of memory, the kernel
/// ends it first, and no QEMU.
pub fn child(limits: &Limits) -> Vec<String> {
    let mut missing = Missing::default();
    // A name of 15 bytes at most is what the kernel keeps.
    missing.note("name", set_name(c"vmcorectl-child"));
    missing.note("out of memory", end_first());
    missing.note("limits", limits::limit_child());
    missing.note("limits", limits.apply());
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    missing.note("capabilities", set_capabilities(None, none));
    // A change of privileges takes it back: it comes after those.
    missing.note("end", set_parent_process_death_signal(Some(Signal::KILL)));
    missing.note("privileges", set_no_new_privs(true));
    missing.note("files", deny_writing(&[], Programs::None));
    missing.note("system calls", calls::allow_child());
    missing.0
}

/// Confines a command that reads a stored core. Files may be written, created and removed
/// below the folders `writable` alone.
pub fn command(limits: &Limits, writable: &[&Path]) -> Vec<String> {
    let mut missing = limit(limits);
    missing.note("privileges", set_no_new_privs(true));
    missing.note("files", deny_writing(writable, Programs::None));
    missing.note("system calls", calls::deny_command());
    missing.0
}

/// Confines `import`, which starts the child: like [`command`], but for programs.
///
/// Its own child cannot ask for this any more, so that this process asks: if the host runs
/// out of memory, the kernel ends them first.
pub fn import(limits: &Limits, writable: &Path) -> Vec<String> {
    let mut missing = limit(limits);
    missing.note("out of memory", end_first());
    missing.note("privileges", set_no_new_privs(true));
    missing.note("files", deny_writing(&[writable], Programs::All));
    missing.note("system calls", calls::deny_import());
    missing.0
}

/// Limits a command that has to mount, or to start programs.
pub fn only_limits(limits: &Limits) -> Vec<String> {
    limit(limits).0
}

fn limit(limits: &Limits) -> Missing {
    let mut missing = Missing::default();
    missing.note("limits", limits.apply());
    missing
}

/// Has the kernel end this process first. What started it may have asked for that.
fn end_first() -> io::Result<()> {
    if fs::read_to_string(OUT_OF_MEMORY).is_ok_and(|score| score.trim() == FIRST) {
        return Ok(());
    }
    fs::write(OUT_OF_MEMORY, FIRST)
}

fn deny_writing(writable: &[&Path], programs: Programs) -> Result<(), String> {
    match files::deny_writing(writable, programs) {
        Ok(None) => Ok(()),
        Ok(Some(missing)) => Err(missing),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
#[path = "confine_tests.rs"]
mod tests;
