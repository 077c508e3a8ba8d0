//! Confines this process, before it parses anything of a guest.
//!
//! Each gives what the kernel could not be made to enforce, as sentences; the others hold.
//! To be called while the process has one thread: Landlock holds for the caller and for
//! the threads that it starts later.

use std::fs;
use std::path::Path;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_name, set_no_new_privs};

use super::{calls, files, limits};

/// Confines the child: it has its descriptors, its memory and a processor, for a while.
///
/// It ends with the thread that started it. If the host runs out of memory, the kernel
/// ends it first, and no QEMU.
pub fn child() -> Vec<String> {
    let mut missing = Vec::new();
    let mut note = |what: &str, done: Result<(), String>| {
        if let Err(error) = done {
            missing.push(format!("{what}: {error}"));
        }
    };
    // A name of 15 bytes at most is what the kernel keeps.
    note("name", text(set_name(c"vmcorectl-child")));
    note("out of memory", text(fs::write("/proc/self/oom_score_adj", "1000")));
    note("limits", text(limits::limit_child()));
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    note("capabilities", text(set_capabilities(None, none)));
    // A change of privileges takes it back: it comes after those.
    note("end", text(set_parent_process_death_signal(Some(Signal::KILL))));
    note("privileges", text(set_no_new_privs(true)));
    note("files", deny_writing(&[]));
    note("system calls", calls::allow_child());
    missing
}

/// Confines a command that reads a stored core. Files may be written, created and removed
/// below the folders `writable` alone.
pub fn command(writable: &[&Path]) -> Vec<String> {
    let mut missing = Vec::new();
    let mut note = |what: &str, done: Result<(), String>| {
        if let Err(error) = done {
            missing.push(format!("{what}: {error}"));
        }
    };
    note("limits", text(limits::limit_command()));
    note("privileges", text(set_no_new_privs(true)));
    note("files", deny_writing(writable));
    note("system calls", calls::deny_command());
    missing
}

/// Limits the memory of a command that has to mount, or to start programs.
pub fn memory() -> Vec<String> {
    limits::limit_command().err().map(|error| format!("limits: {error}")).into_iter().collect()
}

fn deny_writing(writable: &[&Path]) -> Result<(), String> {
    match files::deny_writing(writable) {
        Ok(None) => Ok(()),
        Ok(Some(missing)) => Err(missing),
        Err(error) => Err(error.to_string()),
    }
}

fn text<E: ToString>(result: Result<(), E>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "confine_tests.rs"]
mod tests;
