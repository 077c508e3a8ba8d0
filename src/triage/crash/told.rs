//! What else the lines of an event tell: who ran, on which kernel and machine, and the registers
//! that matter.
//!
//! ```text
//! CPU: 1 UID: 0 PID: 77 Comm: x Tainted: G        W  O       6.1.0 #1
//! Tainted: [W]=WARN, [O]=OOT_MODULE            6.12 and newer, once more in words
//! Hardware name: QEMU Standard PC, BIOS 1.16.2
//! Workqueue: events foo_work
//! Oops: 0002 [#1] PREEMPT SMP                  the number: how often this kernel died so far
//! CR2: 0000000000000008                        arm64: FAR and others; riscv: badaddr
//! Code: 48 89 e5 <0f> 0b                       the mark: where it was
//! Kernel Offset: 0x1a400000 from 0x…
//! ```
//!
//! Needs: the log's lines, and which are the event's. Gives: these, each where it is there. What
//! memory tells of the same, a report takes from there.

use serde::Serialize;

use super::header::behind;
use super::stack;
use super::stack::line::{Role, Said};
use super::stack::name::normalised;
use crate::triage::record::Line;

/// How long a text may be that is taken from a line.
const MAX_TEXT: usize = 256;

/// What an event's lines tell besides its title.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The processor.
    pub cpu: Option<u32>,
    /// The process.
    pub pid: Option<u32>,
    /// The task's name.
    pub comm: Option<String>,
    /// The letters of the taint flags, without blanks; none if it is not tainted.
    pub taint: Option<String>,
    /// The kernel: its release and build.
    pub kernel: Option<String>,
    /// The machine.
    pub hardware: Option<String>,
    /// The function of the work that a worker did.
    pub work: Option<String>,
    /// The oops's code, and which one it was since boot: more than 1 means that an earlier one
    /// may be the cause.
    pub oops: Option<String>,
    /// How many times this kernel had died with it.
    pub deaths: Option<u32>,
    /// The address that could not be accessed.
    pub fault_address: Option<String>,
    /// The instructions, with a mark where the processor was.
    pub code: Option<String>,
    /// How far KASLR moved the kernel.
    pub kernel_offset: Option<String>,
}

/// Reads it.
pub(super) fn of(lines: &[Line<'_>], indexes: &[usize]) -> Told {
    let mut told = Told::default();
    let own = indexes.iter().filter_map(|index| lines.get(*index));
    // What a program was doing that the kernel worked for says nothing of the event.
    let mut user = false;
    for line in own {
        match stack::line::read(line.text) {
            Some(Said::UserPc) => user = true,
            Some(Said::One(place)) if place.role == Role::Pc => user = false,
            _ => {}
        }
        told.read(line.text.trim_ascii(), user);
    }
    told
}

impl Told {
    fn read(&mut self, text: &[u8], user: bool) {
        if self.comm.is_none() && text.starts_with(b"CPU: ") {
            self.task(text);
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
        take(|told| &mut told.hardware, "Hardware name: ");
        if !user {
            take(|told| &mut told.code, "Code: ");
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
            let rest = at.iter().find_map(|word| behind(text, word));
            let rest = rest.or_else(|| fault_header(text));
            self.fault_address = rest.and_then(hex);
        }
        if self.kernel_offset.is_none()
            && let Some(rest) = text.strip_prefix(b"Kernel Offset: ")
        {
            self.kernel_offset = hex(rest);
        }
    }

    /// `CPU: 1 UID: 0 PID: 77 Comm: x Tainted: G        W  O       6.1.0 #1 Debian 6.1.0-1`
    fn task(&mut self, text: &[u8]) {
        self.cpu = behind(text, "CPU: ").and_then(number);
        self.pid = behind(text, "PID: ").and_then(number);
        let Some(rest) = behind(text, "Comm: ") else { return };
        let clean = memchr::memmem::find(rest, b" Not tainted ");
        let tainted = memchr::memmem::find(rest, b" Tainted: ");
        let Some(at) = clean.or(tainted) else { return };
        self.comm = rest.get(..at).map(words);
        let word: &[u8] = if clean.is_some() { b" Not tainted " } else { b" Tainted: " };
        let mut rest = rest.get(at.saturating_add(word.len())..).unwrap_or_default();
        if clean.is_none() {
            // Letters and blanks, in their places: any letter is taken as it is.
            let flags =
                rest.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b' ').count();
            let letters =
                rest.get(..flags).unwrap_or_default().iter().filter(|byte| **byte != b' ');
            self.taint = Some(letters.map(|byte| char::from(*byte)).collect());
            rest = rest.get(flags..).unwrap_or_default();
        }
        self.kernel = Some(words(rest)).filter(|kernel| !kernel.is_empty());
    }
}

/// `Oops: 0002 [#1] SMP`: what stands before the count, and the count.
fn death(text: &[u8]) -> Option<(&[u8], u32)> {
    let at = memchr::memmem::find(text, b"[#")?;
    let count = number(text.get(at.checked_add(2)?..)?)?;
    let before = text.get(..at)?.trim_ascii();
    Some((before.strip_suffix(b":").unwrap_or(before), count))
}

/// The address in a header: x86 says it nowhere else where it has no CR2 of the fault.
fn fault_header(text: &[u8]) -> Option<&[u8]> {
    let words = ["at virtual address ", "for address: ", ", address: ", "non-canonical address "];
    words.iter().find_map(|word| behind(text, word))
}

/// The hexadecimal number that a text begins with, as `0x…` without zeros before it.
fn hex(text: &[u8]) -> Option<String> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(text.get(..digits)?).ok()?;
    u64::from_str_radix(digits, 16).ok().map(|value| format!("{value:#x}"))
}

fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

/// A text with single blanks, and not too long.
fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text.get(..text.len().min(MAX_TEXT)).unwrap_or_default());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(log: &str) -> Told {
        let lines: Vec<_> = log
            .lines()
            .map(|text| Line {
                record: 0,
                time_ns: None,
                caller: None,
                from_user: false,
                text: text.as_bytes(),
            })
            .collect();
        let indexes: Vec<_> = (0..lines.len()).collect();
        of(&lines, &indexes)
    }

    #[test]
    fn who_ran_where_is_read() {
        let told = told(
            "CPU: 1 UID: 0 PID: 77 Comm: my task Tainted: G        W  OZ      6.12.0 #1 SMP\nTainted: [W]=WARN, [O]=OOT_MODULE\nHardware name: QEMU  PC, BIOS 1\nWorkqueue: events foo_work.cold [foo]\nOops: 0002 [#3] SMP\nCR2: 0000000000000008 CR3: 1\nCode: 48 <0f> 0b\nKernel Offset: 0x1a400000 from 0xffffffff81000000",
        );
        assert_eq!(
            (told.cpu, told.pid, told.comm.as_deref()),
            (Some(1), Some(77), Some("my task"))
        );
        assert_eq!(told.taint.as_deref(), Some("GWOZ"));
        assert_eq!(told.kernel.as_deref(), Some("6.12.0 #1 SMP"));
        assert_eq!(told.hardware.as_deref(), Some("QEMU PC, BIOS 1"));
        assert_eq!(told.work.as_deref(), Some("foo_work"));
        assert_eq!((told.oops.as_deref(), told.deaths), (Some("Oops: 0002"), Some(3)));
        assert_eq!(told.fault_address.as_deref(), Some("0x8"));
        assert_eq!(told.code.as_deref(), Some("48 <0f> 0b"));
        assert_eq!(told.kernel_offset.as_deref(), Some("0x1a400000"));
    }

    #[test]
    fn a_clean_kernel_has_no_taint_and_what_is_not_there_is_none() {
        let clean = told("CPU: 0 PID: 1 Comm: a Not tainted 5.10.0 #2");
        assert_eq!((clean.taint, clean.kernel.as_deref()), (None, Some("5.10.0 #2")));
        assert_eq!(told("CPU: x\nOops [#\nCR2: \nCode: "), Told::default());
    }
}
