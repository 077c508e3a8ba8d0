//! What a log without a crash of Linux may be instead: that of another system that crashed.
//!
//! Needs: a log's records. Gives: the system, and the line that shows it. Nothing else is read of
//! such a crash.

use aho_corasick::AhoCorasick;
use serde::Serialize;
use vmcore_formats::text::lossy;

use super::text::has;
use crate::triage::log::LogRecord;

/// Within how many lines behind the first words the others are.
const WITHIN: usize = 60;
/// The most bytes of a line that are given.
const MAX_TEXT: usize = 200;

/// A crash of another system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherSystem {
    /// Its name.
    pub system: &'static str,
    /// Index of the record.
    pub record: usize,
    /// The line of the file, from 1.
    pub line: u32,
    /// The line's text.
    pub text: String,
}

/// A system, what its panics begin with, and what is on the same line or below.
const SYSTEMS: [(&str, &str, &str); 26] = [
    ("Xen", "Panic on CPU ", ""),
    ("Xen", "FATAL TRAP: vector", ""),
    ("FreeBSD", "Fatal trap ", "while in kernel mode"),
    ("FreeBSD", "panic: ", "KDB: "),
    ("FreeBSD", "panic: ", "cpuid = "),
    ("OpenBSD", "panic: ", "ddb{"),
    ("OpenBSD", "panic: ", "OpenBSD"),
    ("OpenBSD", "trap, code=", "Stopped at"),
    ("NetBSD", "panic: ", "db{"),
    ("NetBSD", "panic: ", "NetBSD"),
    ("NetBSD", "fatal page fault in supervisor mode", ""),
    ("illumos or Solaris", "panic[cpu", "thread="),
    ("macOS", "panic(cpu ", "caller "),
    ("Windows", "*** STOP: 0x", ""),
    ("Windows", "*** Fatal System Error: 0x", ""),
    ("Windows", "BugCheck ", ", {"),
    ("Windows", "Bugcheck Analysis", ""),
    ("Windows", "Your PC ran into a problem", ""),
    ("VMware ESXi", "@BlueScreen: ", ""),
    ("UEFI firmware", "Exception Type - ", ""),
    ("UEFI firmware", "Synchronous Exception at 0x", ""),
    ("U-Boot", "\"Synchronous Abort\" handler", ""),
    ("U-Boot", "Resetting CPU ...", "resetting ..."),
    ("Trusted Firmware", "Unhandled Exception in EL3", ""),
    ("Trusted Firmware", "PANIC at PC", ""),
    ("OP-TEE", "E/TC:", "Panic"),
];

/// The first crash of another system.
pub fn find(records: &[LogRecord]) -> Option<OtherSystem> {
    let search = AhoCorasick::new(SYSTEMS.iter().map(|(_, first, _)| first)).ok()?;
    records.iter().enumerate().find_map(|(index, record)| {
        let text = record.text.trim_ascii_start();
        let mut found = search.find_overlapping_iter(text);
        let (system, ..) = found.find_map(|found| {
            let row = SYSTEMS.get(found.pattern().as_usize())?;
            let (_, first, also) = row;
            // A word that programs use, too, begins the line.
            let own = *first != "panic: " || found.start() == 0 && !record.from_user;
            let mut below = records.get(index..)?.iter().take(WITHIN);
            let all = also.is_empty() || below.any(|line| has(&line.text, also));
            (own && all).then_some(row)
        })?;
        Some(OtherSystem {
            system,
            record: index,
            line: record.line,
            text: lossy(text.trim_ascii_end(), MAX_TEXT),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::triage::crash::families::Families;
    use crate::triage::log::console;

    #[test]
    fn other_systems_are_named() {
        for (log, system) in [
            ("(XEN) ****\n(XEN) Panic on CPU 3:\n(XEN) FATAL PAGE FAULT\n", "Xen"),
            (
                "Fatal trap 12: page fault while in kernel mode\ncpuid = 1; apic id = 01\n",
                "FreeBSD",
            ),
            ("panic: double free\ncpuid = 0\nKDB: stack backtrace:\n", "FreeBSD"),
            ("panic: assertion failed\nStopped at db_enter+0x14\nddb{0}> \n", "OpenBSD"),
            ("panic: no disk\nfatal breakpoint trap\ndb{0}> \n", "NetBSD"),
            ("panic[cpu1]/thread=fffffe0004: BAD TRAP: type=e\n", "illumos or Solaris"),
            ("panic(cpu 2 caller 0xffffff80): Kernel trap at 0xffffff80\n", "macOS"),
            ("*** STOP: 0x000000D1 (0x0,0x2,0x0,0x0)\n", "Windows"),
            ("!!!! X64 Exception Type - 0E(#PF - Page-Fault) !!!!\n", "UEFI firmware"),
        ] {
            let records = console::records(log.as_bytes());
            assert!(crate::triage::crash::of(&records, Families::built_in()).is_none(), "{log}");
            let found = find(&records).unwrap();
            assert_eq!(found.system, system, "{log}");
        }
        for log in [
            "panic: runtime error: index out of range\n\ngoroutine 1 [running]:\n",
            "all is well\n",
        ] {
            assert_eq!(find(&console::records(log.as_bytes())), None, "{log}");
        }
    }
}
