//! `INFO:`, and states that are told without a marker.

use super::warning::lockdep;
use super::{At, Header, behind, bug, has, mentions, message};
use crate::triage::crash::kind::Kind;

/// Messages behind `INFO:` that are no crash.
const HARMLESS: [&str; 8] = [
    "lockdep is turned off",
    "nmi handler",
    "recovery required on readonly filesystem",
    "object 0x",
    "slab 0x",
    "task is not in",
    "selinux",
    "lockdep",
];

/// `INFO: …`
pub(super) fn read(at: &At<'_, '_>) -> Option<Header> {
    let text = at.message();
    if bug::follows_word(at.before()) {
        return None;
    }
    if let Some(found) = lockdep("INFO:", text) {
        return Some(found);
    }
    if text.starts_with(b"rcu") && has(text, "detected") && has(text, "stall") {
        return Some(Header::new(Kind::RcuStall, "INFO: rcu detected stall"));
    }
    if text.starts_with(b"task ") {
        return task(at, text);
    }
    if mentions(text, &HARMLESS) || has(at.before(), "EXT4-fs") {
        return None;
    }
    // Of a line that was cut nothing follows, and of the kernel's nothing but a caller's tag goes before:
    // firmware heads its tables so.
    let headed = text.is_empty() && at.before().iter().any(u8::is_ascii_alphabetic);
    if headed || !text.is_empty() && !at.is_report() {
        return None;
    }
    // Lines of SLUB's report, whose header is lost.
    let part = text.starts_with(b"Allocated in ") || text.starts_with(b"Freed in ");
    let found = message("INFO:", text);
    Some(if part { found.damaged() } else { found })
}

/// `task comm:pid blocked for more than 120 seconds`: the name may break the line.
fn task(at: &At<'_, '_>, text: &[u8]) -> Option<Header> {
    let lines = std::iter::once(text).chain(at.following(2));
    for line in lines {
        if has(line, "can't die for more than") {
            return Some(Header::new(Kind::CantDie, "INFO: task can't die"));
        }
        if has(line, "blocked for more than") || has(line, "blocked in I/O wait for more than") {
            return Some(Header::new(Kind::HungTask, "INFO: task hung"));
        }
        // Who holds what the task waits for: the report went before.
        if has(line, " blocked on a") {
            return None;
        }
    }
    None
}

/// `Watchdog detected hard LOCKUP on cpu 3`
///
/// powerpc: `CPU 3 detected hard LOCKUP on other CPUs 5`, `CPU 3 self-detected hard LOCKUP @ …`
pub(super) fn hard_lockup(at: &At<'_, '_>) -> Option<Header> {
    let own = has(at.before(), "self-");
    let told = match own {
        true => behind(at.before(), "CPU "),
        false => behind(at.message(), "CPUs ").or(Some(at.message())),
    };
    let cpu = told.map(|text| number(text.strip_prefix(b"on cpu ").unwrap_or(text)));
    Some(Header { cpu: cpu.flatten(), ..Header::new(Kind::HardLockup, "hard lockup") })
}

/// The number that a text begins with.
fn number(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

/// `unregister_netdevice: waiting for lo to become free. Usage count = 3`
pub(super) fn device_in_use(at: &At<'_, '_>) -> Option<Header> {
    let title = "unregister_netdevice: waiting for DEV to become free";
    has(at.message(), "to become free").then(|| Header::new(Kind::Message, title))
}

/// `VFS: Close: file count is 0`
pub(super) fn closed_twice(_: &At<'_, '_>) -> Option<Header> {
    Some(Header::new(Kind::Message, "VFS: Close: file count is zero (use-after-free)"))
}

/// `VFS: Busy inodes after unmount of loop0. Self-destruct in 5 seconds.`
pub(super) fn busy_inodes(_: &At<'_, '_>) -> Option<Header> {
    Some(Header::new(Kind::Message, "VFS: Busy inodes after unmount (use-after-free)"))
}
