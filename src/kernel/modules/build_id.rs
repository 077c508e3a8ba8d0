//! A module's build id.
//!
//! Kernels with `CONFIG_STACKTRACE_BUILD_ID` have it in `struct module`. All others keep the module's
//! notes, for `/sys/module/NAME/notes`. Without BTF for these, the note is looked for in the
//! module's data.
//!
//! ```text
//! module.notes_attrs ──► module_notes_attrs.attrs[] ──► attr.name   ".note.gnu.build-id"
//!                                                       private     where the note is
//!                                                       size        how long it is
//! ```

use memchr::memmem;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::elf::build_id::BuildId;

use super::{ModuleRange, RangeKind};
use crate::kernel::Kernel;
use crate::kernel::budget::Budget;
use crate::kernel::types::Object;

/// The most notes of a module that are looked at.
const MAX_NOTES: u64 = 16;
/// The longest note with a build id.
const MAX_NOTE: u64 = 256;
/// The length of a note with a build id of the usual length.
const NOTE_LENGTH: usize = 36;
/// How much of a module's data is looked through.
const MAX_DATA: u64 = 4 << 20;
/// How many bytes of data cost a step.
const STEP: u64 = 64;
const NAME: &str = ".note.gnu.build-id";

/// The build id, if the kernel kept it.
pub(super) fn of(
    kernel: &Kernel,
    module: &Object<'_>,
    ranges: &[ModuleRange],
    budget: &Budget,
) -> Option<BuildId> {
    let kept = module.bytes("build_id").ok().filter(|id| id.iter().any(|byte| *byte != 0));
    let kept = kept.and_then(|bytes| BuildId::new(&bytes)).or_else(|| in_notes(kernel, module));
    let in_data = || in_data(kernel, ranges, budget);
    kept.or_else(|| (!module.has("notes_attrs")).then(in_data).flatten())
}

/// The only note of a build id in a module's data.
fn in_data(kernel: &Kernel, ranges: &[ModuleRange], budget: &Budget) -> Option<BuildId> {
    /// A name of four bytes, 20 bytes of what it is, and type 3.
    const NOTE: [u32; 3] = [4, 20, 3];
    let endian = kernel.space.endian();
    let head = [NOTE.map(|value| endian.u32_bytes(value)).concat(), b"GNU\0".to_vec()].concat();
    let mut found = Vec::new();
    for range in ranges.iter().filter(|range| range.kind == RangeKind::Data) {
        let length = range.size.min(MAX_DATA);
        budget.take(length / STEP).ok()?;
        let length = usize::try_from(length).ok()?;
        let Ok(bytes) = kernel.space.read_vec(range.base, length) else { continue };
        let notes = memmem::find_iter(&bytes, &head).filter_map(|at| bytes.get(at..));
        found.extend(notes.filter_map(|note| BuildId::among(note.get(..NOTE_LENGTH)?, endian)));
    }
    found.pop().filter(|_| found.is_empty())
}

fn in_notes(kernel: &Kernel, module: &Object<'_>) -> Option<BuildId> {
    let types = kernel.types().ok()?;
    let notes = module.pointer("notes_attrs").ok().filter(|at| at.0 != 0)?;
    let first = notes.0.checked_add(types.offset("module_notes_attrs", "attrs").ok()?)?;
    let size = types.size("bin_attribute").ok().filter(|size| *size > 0)?;
    // How many there are is kept in different ways; behind the last one is no name.
    (0..MAX_NOTES).find_map(|index| {
        let at = VirtAddr(first.checked_add(size.checked_mul(index)?)?);
        let note = Object::at(kernel, "bin_attribute", at).ok()?;
        let name = kernel.string(note.pointer("attr.name").ok()?, NAME.len().saturating_add(1));
        if name != NAME {
            return None;
        }
        let length = usize::try_from(note.u64("size").ok()?.min(MAX_NOTE)).ok()?;
        let bytes = kernel.space.read_vec(note.pointer("private").ok()?, length).ok()?;
        BuildId::among(&bytes, kernel.space.endian())
    })
}
