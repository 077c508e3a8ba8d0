//! The kernel of a core that has no VMCOREINFO note.
//!
//! ```text
//! a vCPU's CR3 ──► the image ──► kallsyms by its structure ──► vmcoreinfo_data ──► VMCOREINFO
//!                                            │                    (none there)
//!                                            └──► symbols, types ──────────────► a synthetic one
//! ```
//!
//! Needs: notes of vCPUs with their page-table registers, as x86-64 has. Gives: the kernel as with a
//! note. If the kernel keeps VMCOREINFO, its symbols lead to it, so that memory need not be
//! searched. If it keeps none, [`synthetic_vmcoreinfo`] has the keys that the readers need.

use std::sync::OnceLock;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::in_memory::{Origin, read_text};
use super::synthetic_vmcoreinfo;
use crate::kernel::arch::{self, Arch, Image, Machine};
use crate::kernel::{AddressSpace, Kernel, Symbols};
use crate::vmcore::Vmcore;

/// Where the text begins in what each symbol points to.
const TEXTS: [(&str, u64); 2] = [("vmcoreinfo_data", 0), ("vmcoreinfo_note", 24)];

/// The kernel that a vCPU runs.
///
/// Returns `None` if notes have no page-table registers, or these lead to no kernel with symbols.
pub(crate) fn find(core: &Vmcore) -> Option<Kernel> {
    let arch = arch::of_machine(core.identity().machine)?;
    let machine = Machine::of(core);
    let (image, symbols) = arch.images(&machine).find_map(|image| {
        let symbols = Symbols::of_image(&image.space, image.start).ok()?;
        Some((image, symbols))
    })?;
    let Some(mut kernel) = kept(core, &image, &symbols) else {
        return Some(synthetic(arch, image, symbols));
    };
    kernel.symbols = OnceLock::from(Ok(symbols));
    Some(kernel)
}

/// A kernel by the VMCOREINFO that it keeps.
fn kept(core: &Vmcore, image: &Image, symbols: &Symbols) -> Option<Kernel> {
    let text = |(name, offset)| {
        let pointer = image.space.read_u64(symbols.address_of(name)?).ok()?;
        let at = image.space.translate(VirtAddr(pointer.checked_add(offset)?)).ok()?;
        Some((read_text(core.memory(), at)?, at))
    };
    let (info, at) = TEXTS.into_iter().find_map(text)?;
    // A text of another kernel would not know where this one is.
    let same = info.symbol("_stext").is_none_or(|at| symbols.address_of("_stext") == Some(at));
    let space = AddressSpace::find(core, &info).ok().filter(|_| same)?;
    Some(Kernel::new(info, Origin::Memory { at, candidates: 1, in_use: Some(true) }, space))
}

/// A kernel with a synthetic VMCOREINFO.
fn synthetic(arch: &dyn Arch, image: Image, symbols: Symbols) -> Kernel {
    let text = synthetic_vmcoreinfo::of_symbols(arch, &image, &symbols);
    let source =
        Origin::Synthetic { image: image.start, symbols: symbols.count(), with_types: false };
    let info = VmcoreInfo::parse(text.as_bytes());
    let mut kernel = Kernel::new(info, source, image.space);
    kernel.symbols = OnceLock::from(Ok(symbols));
    let with_types = kernel.types().is_ok();
    let text = text + &synthetic_vmcoreinfo::of_types(&kernel);
    kernel.info = VmcoreInfo::parse(text.as_bytes());
    if let Origin::Synthetic { with_types: known, .. } = &mut kernel.source {
        *known = with_types;
    }
    kernel
}
