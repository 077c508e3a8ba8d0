//! Oops details: the task, the kernel, the machine and the registers that matter.
//!
//! ```text
//! CPU: 1 UID: 0 PID: 77 Comm: x Tainted: G        W  O       6.1.0 #1
//! Tainted: [W]=WARN, [O]=OOT_MODULE            6.12 and newer: the same in words
//! Hardware name: QEMU Standard PC, BIOS 1.16.2
//! Workqueue: events foo_work
//! Oops: 0002 [#1] PREEMPT SMP                  #1: the first since boot
//! CR2: 0000000000000008                        arm64: FAR and others; riscv: badaddr
//! Code: 48 89 e5 <0f> 0b                       <>: at the program counter
//! Kernel Offset: 0x1a400000 from 0x…
//! ```
//!
//! Needs: the log's lines, and which are the event's. Gives: these, where the lines have them. A
//! report reads the task and the kernel from memory.

use serde::Serialize;

use super::stack;
use super::stack::line::{Role, StackLine};
use super::stack::name::normalised;
use super::text::{after, number};
use crate::triage::log::RecordLine;

/// The most bytes of a text.
const MAX_TEXT: usize = 256;

/// What an event's lines have besides its title.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OopsDetails {
    /// The CPU.
    pub cpu: Option<u32>,
    /// The process.
    pub pid: Option<u32>,
    /// The task's name.
    pub comm: Option<String>,
    /// The letters of the taint flags, without blanks; none if the kernel is not tainted.
    pub taint: Option<String>,
    /// The kernel: its release and build.
    pub kernel: Option<String>,
    /// The machine.
    pub hardware: Option<String>,
    /// The work function that a kworker ran.
    pub work: Option<String>,
    /// The oops's words and code.
    pub oops: Option<String>,
    /// The oops's number since boot: above 1, an earlier oops may be the cause.
    pub deaths: Option<u32>,
    /// The address that could not be accessed.
    pub fault_address: Option<String>,
    /// The instructions, with `<>` around the byte at the program counter.
    pub code: Option<String>,
    /// KASLR's offset.
    pub kernel_offset: Option<String>,
}

/// Reads the details of an event.
pub(super) fn of(lines: &[RecordLine<'_>], indexes: &[usize]) -> OopsDetails {
    let mut details = OopsDetails::default();
    let own = indexes.iter().filter_map(|index| lines.get(*index));
    // Registers of user space say nothing of the event.
    let mut user = false;
    for line in own {
        match stack::line::read(line.text) {
            Some(StackLine::UserPc) => user = true,
            Some(StackLine::Function(place)) if place.role == Role::Pc => user = false,
            _ => {}
        }
        details.read(line.text.trim_ascii(), user);
    }
    details
}

impl OopsDetails {
    fn read(&mut self, text: &[u8], user: bool) {
        if self.comm.is_none() && (text.starts_with(b"CPU: ") || text.starts_with(b"Pid: ")) {
            self.task(text);
        }
        if self.comm.is_none()
            && let Some((comm, pid)) = process(text)
        {
            (self.comm, self.pid) = (Some(words(comm)), Some(pid));
        }
        let mut take = |slot: fn(&mut Self) -> &mut Option<String>, word: &str| {
            if let Some(rest) = text.strip_prefix(word.as_bytes()) {
                let value = words(rest);
                let slot = slot(self);
                if slot.is_none() && !value.is_empty() {
                    *slot = Some(value);
                }
            }
        };
        take(|details| &mut details.hardware, "Hardware name: ");
        if !user {
            take(|details| &mut details.code, "Code: ");
        }
        if self.oops.is_none()
            && let Some((before, count)) = death(text)
        {
            self.deaths = Some(count);
            self.oops = Some(words(before)).filter(|code| !code.is_empty());
        }
        if self.work.is_none() && text.starts_with(b"Workqueue: ") {
            let work = text.split(|byte| *byte == b' ').nth(2).map(words);
            self.work = work.map(|work| normalised(&work).to_owned());
        }
        if self.fault_address.is_none() && !user {
            let at = ["CR2: ", "badaddr: ", "FAR_EL1 = ", "FAR: "];
            let rest = at.iter().find_map(|word| after(text, word));
            let rest = rest.or_else(|| fault_header(text));
            self.fault_address = rest.and_then(hex);
        }
        if self.kernel_offset.is_none()
            && let Some(rest) = text.strip_prefix(b"Kernel Offset: ")
        {
            self.kernel_offset = hex(rest);
        }
    }

    /// `CPU: 1 UID: 0 PID: 77 Comm: x Tainted: G        W  O       6.1.0 #1 Debian 6.1.0-1`, and
    /// older `Pid: 77, comm: x Not tainted 2.6.32 #1`.
    fn task(&mut self, text: &[u8]) {
        self.cpu = after(text, "CPU: ").and_then(number).or(self.cpu);
        self.pid = after(text, "PID: ").or(text.strip_prefix(b"Pid: ")).and_then(number);
        let Some(rest) = after(text, "Comm: ").or(after(text, "comm: ")) else { return };
        let clean = memchr::memmem::find(rest, b" Not tainted ");
        let tainted = memchr::memmem::find(rest, b" Tainted: ");
        let Some(at) = clean.or(tainted) else { return };
        self.comm = rest.get(..at).map(|comm| {
            // Whether a crash kernel is loaded is printed in between.
            words(comm.strip_suffix(b" Kdump: loaded").unwrap_or(comm))
        });
        let word: &[u8] = if clean.is_some() { b" Not tainted " } else { b" Tainted: " };
        let mut rest = rest.get(at.saturating_add(word.len())..).unwrap_or_default();
        if clean.is_none() {
            // Letters at fixed columns, or `-`; new kernels add letters, so any counts.
            let is_flag = |byte: &&u8| byte.is_ascii_uppercase() || matches!(**byte, b' ' | b'-');
            let flags = rest.iter().take_while(is_flag).count();
            let letters = rest.get(..flags).unwrap_or_default().iter();
            let letters = letters.filter(|byte| byte.is_ascii_uppercase());
            self.taint = Some(letters.map(|byte| char::from(*byte)).collect());
            rest = rest.get(flags..).unwrap_or_default();
        }
        self.kernel = Some(words(rest)).filter(|kernel| !kernel.is_empty());
    }
}

/// `Process x (pid: 77, …`: the name and the number.
fn process(text: &[u8]) -> Option<(&[u8], u32)> {
    let rest = text.strip_prefix(b"Process ")?;
    let at = memchr::memmem::rfind(rest, b" (pid: ")?;
    Some((rest.get(..at)?, after(rest, " (pid: ").and_then(number)?))
}

/// `Oops: 0002 [#1] SMP`: the words before the number, and the number.
fn death(text: &[u8]) -> Option<(&[u8], u32)> {
    let at = memchr::memmem::find(text, b"[#")?;
    let count = number(text.get(at.checked_add(2)?..)?)?;
    let before = text.get(..at)?.trim_ascii();
    Some((before.strip_suffix(b":").unwrap_or(before), count))
}

/// The address in a header: the only one where x86 prints no CR2 of the fault.
fn fault_header(text: &[u8]) -> Option<&[u8]> {
    let words = ["at virtual address ", "for address: ", ", address: ", "non-canonical address "];
    words.iter().find_map(|word| after(text, word))
}

/// The hexadecimal number that a text begins with, as `0x…` without zeros before it.
fn hex(text: &[u8]) -> Option<String> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(text.get(..digits)?).ok()?;
    u64::from_str_radix(digits, 16).ok().map(|value| format!("{value:#x}"))
}

/// A text with single blanks, and not too long.
fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text.get(..text.len().min(MAX_TEXT)).unwrap_or_default());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::triage::log::lines_of_text;

    fn details(log: &str) -> OopsDetails {
        let lines = lines_of_text(log);
        let indexes: Vec<_> = (0..lines.len()).collect();
        of(&lines, &indexes)
    }

    #[test]
    fn who_ran_where_is_read() {
        let details = details(
            "CPU: 1 UID: 0 PID: 77 Comm: my task Tainted: G        W  OZ      6.12.0 #1 SMP\nTainted: [W]=WARN, [O]=OOT_MODULE\nHardware name: QEMU  PC, BIOS 1\nWorkqueue: events foo_work.cold [foo]\nOops: 0002 [#3] SMP\nCR2: 0000000000000008 CR3: 1\nCode: 48 <0f> 0b\nKernel Offset: 0x1a400000 from 0xffffffff81000000",
        );
        assert_eq!(
            (details.cpu, details.pid, details.comm.as_deref()),
            (Some(1), Some(77), Some("my task"))
        );
        assert_eq!(details.taint.as_deref(), Some("GWOZ"));
        assert_eq!(details.kernel.as_deref(), Some("6.12.0 #1 SMP"));
        assert_eq!(details.hardware.as_deref(), Some("QEMU PC, BIOS 1"));
        assert_eq!(details.work.as_deref(), Some("foo_work"));
        assert_eq!((details.oops.as_deref(), details.deaths), (Some("Oops: 0002"), Some(3)));
        assert_eq!(details.fault_address.as_deref(), Some("0x8"));
        assert_eq!(details.code.as_deref(), Some("48 <0f> 0b"));
        assert_eq!(details.kernel_offset.as_deref(), Some("0x1a400000"));
    }

    #[test]
    fn old_and_enterprise_kernels_name_the_task_in_other_words() {
        let kdump = "CPU: 2 PID: 8 Comm: db writer Kdump: loaded Tainted: G           OE    --------- -  - 4.18.0-553.el8.x86_64 #1";
        let plain =
            "CPU: 2 PID: 8 Comm: db writer Kdump: loaded Not tainted 4.18.0-553.el8.x86_64 #1";
        for text in [kdump, plain] {
            let details = details(text);
            assert_eq!((details.pid, details.comm.as_deref()), (Some(8), Some("db writer")));
            assert_eq!(details.kernel.as_deref(), Some("4.18.0-553.el8.x86_64 #1"));
        }
        assert_eq!(details(kdump).taint.as_deref(), Some("GOE"));
        let old = details("Pid: 8, comm: db writer Not tainted 2.6.32-754.el6.x86_64 #1 Acme B2");
        assert_eq!((old.pid, old.comm.as_deref()), (Some(8), Some("db writer")));
        assert_eq!(old.kernel.as_deref(), Some("2.6.32-754.el6.x86_64 #1 Acme B2"));
        let arm = details(
            "CPU: 0    Not tainted  (2.6.35 #1)\nProcess db writer (pid: 8, stack limit = 0xc0)",
        );
        assert_eq!((arm.cpu, arm.pid, arm.comm.as_deref()), (Some(0), Some(8), Some("db writer")));
    }

    #[test]
    fn a_clean_kernel_has_no_taint_and_what_is_not_there_is_none() {
        let clean = details("CPU: 0 PID: 1 Comm: a Not tainted 5.10.0 #2");
        assert_eq!((clean.taint, clean.kernel.as_deref()), (None, Some("5.10.0 #2")));
        assert_eq!(details("CPU: x\nOops [#\nCR2: \nCode: "), OopsDetails::default());
    }
}
