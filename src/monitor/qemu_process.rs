//! The process behind a monitor, as far as this system shows it.
//!
//! It may be none of QEMU: a management daemon can open the socket for it.

use std::fs;

/// What the system shows of a process, if that is a QEMU that runs.
fn status(process: i32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let name = field(&status, "Name:")?;
    // One that has ended stays visible until its parent has heard of it.
    let ended = field(&status, "State:")?.starts_with(['Z', 'X']);
    let is_qemu = name.starts_with("qemu") || name.starts_with("kvm");
    (is_qemu && !ended).then_some(status)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Whether it is known that QEMU runs in this process.
pub(crate) fn is_running_qemu(process: i32) -> bool {
    status(process).is_some()
}

/// How much memory a QEMU uses, in bytes: its resident and swapped pages.
///
/// Returns `None` if the process is none of QEMU, or not visible.
pub(crate) fn used_memory(process: i32) -> Option<u64> {
    let status = status(process)?;
    let bytes = |name| {
        let text = field(&status, name)?.strip_suffix("kB")?;
        text.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    bytes("VmRSS:")?.checked_add(bytes("VmSwap:").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use super::*;

    /// A process of a name that does nothing.
    fn start(name: &str) -> (tempfile::TempDir, Child) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(name);
        // Not a copy: a program that some thread still writes cannot be started.
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let child = Command::new(program).arg("600").spawn().unwrap();
        (folder, child)
    }

    #[test]
    fn a_qemu_runs_until_it_has_ended_before_its_parent_waits_for_it() {
        let (_folder, mut child) = start("qemu-test");
        let process = i32::try_from(child.id()).unwrap();
        // It may not quite have its name yet.
        let started = Instant::now();
        while !is_running_qemu(process) {
            assert!(started.elapsed() < Duration::from_secs(60), "it has another name");
            std::thread::yield_now();
        }
        assert!(used_memory(process).is_some_and(|bytes| bytes > 0));
        child.kill().unwrap();
        while is_running_qemu(process) {
            std::thread::yield_now();
        }
        // It was not waited for yet.
        assert!(fs::exists(format!("/proc/{process}")).unwrap());
        child.wait().unwrap();
        assert!(!is_running_qemu(process));
    }

    #[test]
    fn a_process_of_another_name_is_no_qemu() {
        let (_folder, mut child) = start("libvirtd");
        let process = i32::try_from(child.id()).unwrap();
        assert!(!is_running_qemu(process));
        assert_eq!(used_memory(process), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
