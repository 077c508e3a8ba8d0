//! A module's build id.
//!
//! Kernels that were built to print it with each trace keep it in the module. All
//! others keep the module's notes, for `/sys/module/NAME/notes`:
//!
//! ```text
//! module.notes_attrs ──► module_notes_attrs.attrs[] ──► attr.name   ".note.gnu.build-id"
//!                                                       private     where the note is
//!                                                       size        how long it is
//! ```

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::elf::build_id::BuildId;

use crate::kernel::Kernel;
use crate::kernel::types::Object;

/// The most notes of a module that are looked at.
const MAX_NOTES: u64 = 16;
/// The longest note with a build id.
const MAX_NOTE: u64 = 256;
const NAME: &str = ".note.gnu.build-id";

/// The build id, if the kernel kept it.
pub(super) fn of(kernel: &Kernel, module: &Object<'_>) -> Option<BuildId> {
    let kept = module.bytes("build_id").ok().filter(|id| id.iter().any(|byte| *byte != 0));
    kept.and_then(|bytes| BuildId::new(&bytes)).or_else(|| in_notes(kernel, module))
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
