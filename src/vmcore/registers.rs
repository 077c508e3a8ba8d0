//! The registers of a core's vCPUs, put together from its notes.
//!
//! ```text
//! NT_PRSTATUS ──► a vCPU begins ◄── the notes behind it, up to the next one
//! QEMU (x86)  ──► the first one is of the first vCPU, and so on
//! ```
//!
//! A note that is damaged costs the vCPU what the note has, and is a finding.

use vmcore_formats::elf::Identity;
use vmcore_formats::elf::note::{NT_PRSTATUS, Note, Notes};
use vmcore_formats::elf::qemu_cpu::{self, QemuCpu};
use vmcore_formats::registers::other::note_name;
use vmcore_formats::registers::x86::{self, Segment};
use vmcore_formats::registers::{PrStatus, Register, s390x};

/// The most vCPUs that are looked at. Linux has room for no more than 8192.
const MAX_CPUS: usize = 8192;
/// The most notes of a vCPU that are named without being decoded.
const MAX_NOTES: usize = 32;

/// One vCPU's registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vcpu {
    /// Its place among the core's vCPUs, from 0.
    pub number: usize,
    /// `pr_pid` of its note: from QEMU the vCPU's index and 1, from a kernel the task's pid.
    pub pid: Option<u32>,
    /// The general registers, those with flags included.
    pub general: Vec<Register>,
    /// The segment registers and tables of x86; empty without a note of QEMU's.
    pub segments: Vec<Segment>,
    /// The control registers, as far as there is a note with them.
    pub control: Vec<Register>,
    /// The privilege level of x86, 0 for the kernel; `None` without a note of QEMU's.
    pub privilege: Option<u8>,
    /// What other notes it has: name and length.
    pub others: Vec<(&'static str, usize)>,
    /// What is wrong with its notes.
    pub findings: Vec<String>,
}

/// The registers of all vCPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// The vCPUs, in the order of their notes.
    pub cpus: Vec<Vcpu>,
    /// What is wrong with the notes as a whole.
    pub findings: Vec<String>,
}

impl Registers {
    /// The registers in `notes`, of a core of this machine.
    pub fn of(notes: Notes<'_>, identity: Identity) -> Self {
        let mut all = Self::default();
        let mut by_qemu = 0_usize;
        for note in notes {
            match note {
                Err(error) => all.findings.push(format!("the notes are damaged: {error}")),
                Ok(note) if note.name == b"CORE" && note.kind == NT_PRSTATUS => {
                    if all.cpus.len() >= MAX_CPUS {
                        all.findings
                            .push(format!("the notes of more than {MAX_CPUS} vCPUs were not read"));
                        break;
                    }
                    all.cpus.push(begun(all.cpus.len(), &note, identity));
                }
                Ok(note) if note.name == qemu_cpu::NAME && note.kind == 0 => {
                    if by_qemu == all.cpus.len() {
                        all.findings.push("there are more notes of QEMU's than vCPUs".to_owned());
                    }
                    if let Some(cpu) = all.cpus.get_mut(by_qemu) {
                        cpu.add_qemu(&note);
                    }
                    by_qemu = by_qemu.saturating_add(1);
                }
                Ok(note) => {
                    if let Some(cpu) = all.cpus.last_mut() {
                        cpu.add(&note);
                    }
                }
            }
        }
        if by_qemu > 0 && by_qemu < all.cpus.len() {
            let cpus = all.cpus.len();
            all.findings.push(format!("QEMU's own note is there for {by_qemu} of {cpus} vCPUs"));
        }
        all
    }
}

fn begun(number: usize, note: &Note<'_>, identity: Identity) -> Vcpu {
    let mut cpu = Vcpu { number, ..Vcpu::default() };
    match PrStatus::decode(note.descriptor, identity) {
        Ok(status) => (cpu.pid, cpu.general) = (status.pid, status.registers),
        Err(error) => cpu.findings.push(format!("NT_PRSTATUS is damaged: {error}")),
    }
    cpu
}

impl Vcpu {
    /// Takes QEMU's own note, which has all that `NT_PRSTATUS` has and more.
    fn add_qemu(&mut self, note: &Note<'_>) {
        match QemuCpu::decode(note.descriptor) {
            Ok(cpu) => {
                self.general = x86::general(&cpu);
                self.segments = x86::segments(&cpu);
                self.control = x86::control(&cpu);
                self.privilege = Some(x86::privilege(&cpu));
            }
            Err(error) => self.findings.push(format!("QEMU's own note is damaged: {error}")),
        }
    }

    fn add(&mut self, note: &Note<'_>) {
        if note.name == b"LINUX" {
            match s390x::linux_note(note.kind, note.descriptor) {
                Ok(Some(registers)) => return self.add_control(registers),
                Ok(None) => {}
                Err(error) => {
                    let problem = format!("the LINUX note {:#x} is damaged: {error}", note.kind);
                    return self.findings.push(problem);
                }
            }
        }
        if let Some(name) = note_name(note.name, note.kind)
            && self.others.len() < MAX_NOTES
        {
            self.others.push((name, note.descriptor.len()));
        }
    }

    /// Takes control registers, each once.
    fn add_control(&mut self, registers: Vec<Register>) {
        for register in registers {
            if self.control.iter().all(|known| known.name != register.name) {
                self.control.push(register);
            }
        }
    }
}

#[cfg(test)]
#[path = "registers_tests.rs"]
mod tests;
