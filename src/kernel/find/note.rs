//! Gives a core the VMCOREINFO note that its guest did not.
//!
//! A guest without QEMU's `vmcoreinfo` device, or without the driver for it, has the
//! text in its memory alone. crash, drgn and makedumpfile look for the note.

use vmcore_formats::elf::note::{Note, Notes};
use vmcore_formats::endian::Endian;

use super::in_memory::{LocatedVmcoreInfo, Origin, find_in_memory};
use super::search::SearchDepth;
use crate::vmcore::Vmcore;

/// What became of a core's VMCOREINFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmcoreInfoNote {
    /// It has the note.
    Present,
    /// The note was added. Where it came from, as a sentence.
    Added(String),
    /// There is none. Why.
    Missing(String),
}

/// Adds the note from the guest's memory, if the core has none. Searches memory for it then.
///
/// A core that was read from an ELF file then differs from that file: its image
/// ([`ElfImage`](crate::vmcore::elf_image::ElfImage)) is built anew, with the note.
pub fn complete(core: &mut Vmcore, depth: SearchDepth) -> VmcoreInfoNote {
    if core.vmcoreinfo_note().is_some_and(|info| info.release().is_some()) {
        return VmcoreInfoNote::Present;
    }
    let found = match find_in_memory(core, depth) {
        Ok(found) => found,
        Err(error) => return VmcoreInfoNote::Missing(error.to_string()),
    };
    let descriptor = found.info.text().as_bytes();
    let note = Note { name: b"VMCOREINFO", kind: 0, descriptor };
    match note.encode(core.identity().endian) {
        Some(note) => {
            core.set_notes(with_note(core.note_bytes(), core.identity().endian, &note));
        }
        None => return VmcoreInfoNote::Missing("its VMCOREINFO is too long for a note".to_owned()),
    }
    VmcoreInfoNote::Added(sentence(&found))
}

/// Notes without any VMCOREINFO that is of no use, and the new one behind them.
fn with_note(notes: &[u8], endian: Endian, new: &[u8]) -> Vec<u8> {
    let kept = Notes::new(notes, endian)
        .map_while(Result::ok)
        .filter(|note| note.name != b"VMCOREINFO")
        .filter_map(|note| note.encode(endian));
    kept.flatten().chain(new.iter().copied()).collect()
}

fn sentence(found: &LocatedVmcoreInfo) -> String {
    let mut text = "the core had no VMCOREINFO note".to_owned();
    if let Origin::Memory { at, candidates, in_use } = found.source {
        text.push_str(&format!("; it was found in memory at {at}"));
        if candidates > 1 {
            text.push_str(&format!(", the one of {candidates} texts there that fits"));
        }
        text.push_str(match in_use {
            Some(true) => ", and a vCPU uses the page tables that it describes",
            Some(false) => ", but no vCPU uses the page tables that it describes",
            None => "",
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_note_replaces_a_useless_one_and_comes_last() {
        let note =
            |name, descriptor| Note { name, kind: 1, descriptor }.encode(Endian::Little).unwrap();
        let (cpu, empty) = (note(b"CORE", b"registers"), note(b"VMCOREINFO", b""));
        let new = note(b"VMCOREINFO", b"OSRELEASE=6.1.0\n");
        let old = [&empty[..], &cpu, b"torn"].concat();
        assert_eq!(with_note(&old, Endian::Little, &new), [cpu, new].concat());
    }
}
