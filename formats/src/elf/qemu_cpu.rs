//! QEMU's own note of an x86 vCPU: registers that `NT_PRSTATUS` has no room for.
//!
//! ```text
//! 0    version         u32   1
//! 4    size            u32   of the descriptor: 432, or 440 with kernel_gs_base
//! 8    rax rbx rcx rdx rsi rdi rsp rbp r8..r15 rip rflags   18 x u64
//! 152  cs ds es fs gs ss ldt tr gdt idt                     10 x segment
//! 392  cr0..cr4        5 x u64
//! 432  kernel_gs_base  u64   if the size is 440
//!
//! segment: selector u32, limit u32, flags u32, padding u32, base u64
//! ```
//!
//! The note's name is `QEMU`, its type 0. There is one for each vCPU, in order.
//! Source: QEMU `target/i386/arch_dump.c`, `QEMUCPUState`.
//!
//! ```
//! use vmcore_formats::elf::qemu_cpu::QemuCpu;
//! use vmcore_formats::endian::Endian;
//!
//! let mut descriptor = [0; 440];
//! descriptor[136..144].copy_from_slice(&Endian::Little.u64_bytes(0xffff_ffff_8100_0000));
//! let cpu = QemuCpu::decode(&descriptor)?;
//! assert_eq!((cpu.rip, cpu.kernel_gs_base), (0xffff_ffff_8100_0000, Some(0)));
//! assert_eq!(QemuCpu::decode(&descriptor[..432])?.kernel_gs_base, None);
//! # Ok::<_, vmcore_formats::cursor::ParseError>(())
//! ```

use super::note::Notes;
use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;

/// The name of the note.
pub const NAME: &[u8] = b"QEMU";
/// The most vCPUs that are decoded.
pub const MAX_CPUS: usize = 4096;
const LENGTH_WITH_GS: usize = 440;

/// A segment register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentRegister {
    /// The selector.
    pub selector: u32,
    /// The limit, in bytes.
    pub limit: u32,
    /// The descriptor's second word, as the processor keeps it.
    pub flags: u32,
    /// The segment's first address.
    pub base: u64,
}

/// The registers of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QemuCpu {
    /// rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8 to r15.
    pub general: [u64; 16],
    /// The next instruction.
    pub rip: u64,
    /// The flags.
    pub rflags: u64,
    /// cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt.
    pub segments: [SegmentRegister; 10],
    /// cr0 to cr4; cr1 is 0.
    pub control: [u64; 5],
    /// The gs base after the next `swapgs`. `None` if the note is too short for it.
    pub kernel_gs_base: Option<u64>,
}

impl QemuCpu {
    /// Decodes the descriptor of a note.
    ///
    /// # Errors
    /// Fails if it is too short.
    pub fn decode(descriptor: &[u8]) -> Result<Self, ParseError> {
        let mut rest = Cursor::new(descriptor, Endian::Little);
        rest.take(8, "version and size of the QEMU note")?;
        let mut cpu = Self::default();
        for register in &mut cpu.general {
            *register = rest.u64("general register")?;
        }
        cpu.rip = rest.u64("rip")?;
        cpu.rflags = rest.u64("rflags")?;
        for segment in &mut cpu.segments {
            segment.selector = rest.u32("segment selector")?;
            segment.limit = rest.u32("segment limit")?;
            segment.flags = rest.u32("segment flags")?;
            rest.u32("segment padding")?;
            segment.base = rest.u64("segment base")?;
        }
        for register in &mut cpu.control {
            *register = rest.u64("control register")?;
        }
        if descriptor.len() >= LENGTH_WITH_GS {
            cpu.kernel_gs_base = Some(rest.u64("kernel_gs_base")?);
        }
        Ok(cpu)
    }

    /// The vCPUs of a core, in order.
    ///
    /// Empty for a core of another architecture, or of a dumper other than QEMU. `None` for
    /// a vCPU whose note is too short: it keeps its number.
    pub fn all(notes: Notes<'_>) -> Vec<Option<Self>> {
        notes
            .filter_map(Result::ok)
            .filter(|note| note.name == NAME && note.kind == 0)
            .take(MAX_CPUS)
            .map(|note| Self::decode(note.descriptor).ok())
            .collect()
    }

    /// CR3: the root of the page tables in use.
    pub fn cr3(&self) -> u64 {
        let [_, _, _, cr3, _] = self.control;
        cr3
    }

    /// CR4.
    pub fn cr4(&self) -> u64 {
        let [_, _, _, _, cr4] = self.control;
        cr4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each register has its own offset as its value.
    fn descriptor(length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..length as u64 / 8).flat_map(|word| (word * 8).to_le_bytes()).collect();
        bytes[..8].copy_from_slice(&[1, 0, 0, 0, 0xb8, 1, 0, 0]);
        bytes
    }

    #[test]
    fn each_register_is_read_from_its_offset() {
        let cpu = QemuCpu::decode(&descriptor(440)).unwrap();
        assert_eq!((cpu.general[0], cpu.general[6], cpu.general[15]), (8, 56, 128));
        assert_eq!((cpu.rip, cpu.rflags), (136, 144));
        assert_eq!((cpu.segments[0].selector, cpu.segments[0].base), (152, 168));
        assert_eq!(cpu.segments[4].base, 264);
        assert_eq!((cpu.cr3(), cpu.cr4()), (416, 424));
        assert_eq!(cpu.kernel_gs_base, Some(432));
        assert_eq!(QemuCpu::decode(&descriptor(432)).unwrap().kernel_gs_base, None);
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let whole = descriptor(432);
        for len in 0..whole.len() {
            assert!(QemuCpu::decode(&whole[..len]).is_err(), "cut at {len}");
        }
    }

    #[test]
    fn a_short_note_does_not_renumber_the_others() {
        let mut notes = Vec::new();
        for length in [440_u32, 8, 440] {
            notes.extend([5_u32, length, 0].into_iter().flat_map(u32::to_le_bytes));
            notes.extend(b"QEMU\0\0\0\0");
            notes.extend(descriptor(length as usize));
        }
        let cpus = QemuCpu::all(Notes::new(&notes, Endian::Little));
        assert_eq!(cpus.len(), 3);
        let cr3 = |index: usize| cpus[index].as_ref().map(QemuCpu::cr3);
        assert_eq!((cr3(0), cr3(1), cr3(2)), (Some(416), None, Some(416)));
    }
}
