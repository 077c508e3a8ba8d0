//! Confines this process, before it parses anything of a guest.
//!
//! Each gives what the kernel could not be made to enforce, as sentences; the others hold.
//! To be called while the process has one thread: Landlock holds for the caller and for
//! the threads that it starts later.

use std::fs;
use std::path::Path;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_name, set_no_new_privs};

use super::files::{self, Programs};
use super::{calls, limits};

/// How early the kernel ends this process when the host runs out of memory.
const OUT_OF_MEMORY: &str = "/proc/self/oom_score_adj";

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
    note("out of memory", end_first());
    note("limits", text(limits::limit_child()));
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    note("capabilities", text(set_capabilities(None, none)));
    // A change of privileges takes it back: it comes after those.
    note("end", text(set_parent_process_death_signal(Some(Signal::KILL))));
    note("privileges", text(set_no_new_privs(true)));
    note("files", deny_writing(&[], Programs::None));
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
    note("files", deny_writing(writable, Programs::None));
    note("system calls", calls::deny_command());
    missing
}

/// Confines `import`, which starts the child: like [`command`], but for programs.
///
/// Its own child cannot ask for this any more, so that this process asks: if the host runs
/// out of memory, the kernel ends them first.
pub fn import(writable: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    let mut note = |what: &str, done: Result<(), String>| {
        if let Err(error) = done {
            missing.push(format!("{what}: {error}"));
        }
    };
    note("out of memory", end_first());
    note("limits", text(limits::limit_command()));
    note("privileges", text(set_no_new_privs(true)));
    note("files", deny_writing(&[writable], Programs::All));
    note("system calls", calls::deny_import());
    missing
}

/// Limits the memory of a command that has to mount, or to start programs.
pub fn memory() -> Vec<String> {
    limits::limit_command().err().map(|error| format!("limits: {error}")).into_iter().collect()
}

/// Has the kernel end this process first. What started it may have asked for that.
fn end_first() -> Result<(), String> {
    if fs::read_to_string(OUT_OF_MEMORY).is_ok_and(|score| score.trim() == "1000") {
        return Ok(());
    }
    text(fs::write(OUT_OF_MEMORY, "1000"))
}

/// Limits a command that reads a kernel: its memory, and the processor's time unless all memory
/// is searched.
pub fn kernel_command(deep: bool) -> Vec<String> {
    let time = if deep { Ok(()) } else { limits::limit_processor_time() };
    let limited = [limits::limit_kernel_command(), time];
    let missing = limited.into_iter().filter_map(Result::err);
    missing.map(|error| format!("limits: {error}")).collect()
}

fn deny_writing(writable: &[&Path], programs: Programs) -> Result<(), String> {
    match files::deny_writing(writable, programs) {
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
