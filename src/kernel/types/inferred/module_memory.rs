//! `module.mem[]`, or `core_layout` and `init_layout`.
//!
//! ```text
//! mem[7]             0 base*  8 size (or 8 is_rox, 12 size)         16 mtn: module*, ..  72 each
//! core_layout        0 base*  8 size  12 text_size  16 ro_size  20  24 mtn: module*, ..
//! init_layout        80 bytes after core_layout
//! ```
//!
//! Each part's node in the tree of modules (`mtn`) points back to the module, and the page
//! permissions at the start of a part show whether it is code. Kernels without such a tree are not
//! supported: nothing else distinguishes parts from other addresses.

use vmcore_formats::addr::VirtAddr;

use super::Field;
use super::layouts::{Doubt, Layouts};
use super::reference_modules::{MODULE, Ranges, ReferenceModules};
use super::samples::{Sample, only};

/// `enum mod_mem_type`, from 0 on.
const KINDS: [&str; 7] = [
    "MOD_TEXT",
    "MOD_DATA",
    "MOD_RODATA",
    "MOD_RO_AFTER_INIT",
    "MOD_INIT_TEXT",
    "MOD_INIT_DATA",
    "MOD_INIT_RODATA",
];
/// How many of these stay once a module has started.
const STAYING: u64 = 4;
const PART: u64 = 72;
const LAYOUT: u64 = 80;
/// The longest part.
const MAX_SIZE: u64 = 2 << 30;

/// Where `size` is in a part, and in how many bytes before the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Parts {
    start: u64,
    size: u64,
}

/// The parts of each module, as far as they are known.
pub(super) fn infer(reference: &ReferenceModules<'_>, layouts: &mut Layouts) -> Ranges {
    let parts = [8, 12].into_iter().flat_map(|size| {
        let found =
            reference.of_all(8, |module, start| is_mem(reference, module, Parts { start, size }));
        found.into_iter().map(move |start| Parts { start, size })
    });
    let parts: Vec<Parts> = parts.collect();
    let layout = reference.of_all(8, |module, start| is_layout(reference, module, start));
    match (&parts[..], &layout[..]) {
        ([parts], []) => {
            mem(*parts, layouts);
            let of = |module: &Sample| {
                let range = |index: u64| {
                    let start = parts.start.saturating_add(index.saturating_mul(PART));
                    part(module, start, parts.size)
                };
                (0..KINDS.len() as u64).filter_map(range).collect()
            };
            reference.modules.iter().map(of).collect()
        }
        ([], [core]) => {
            core_layout(*core, layouts);
            reference
                .modules
                .iter()
                .map(|module| part(module, *core, 8).into_iter().collect())
                .collect()
        }
        (parts, layout) => {
            let all: Vec<u64> =
                parts.iter().map(|parts| parts.start).chain(layout.to_vec()).collect();
            layouts.doubt("module.mem", only(&all).err().unwrap_or(Doubt::Nothing));
            reference.modules.iter().map(|_| Vec::new()).collect()
        }
    }
}

/// A part that begins at `start`, if there is one.
fn part(module: &Sample, start: u64, size: u64) -> Option<(VirtAddr, u64)> {
    let base = module.pointer(start)?;
    let size = u64::from(module.half(start.saturating_add(size))?);
    let sound = base.0 % 4096 == 0 && size > 1 && size <= MAX_SIZE;
    sound.then_some((base, size))
}

/// Whether the tree leads from what is at `at` back to the module.
fn leads_back(module: &Sample, at: u64) -> bool {
    module.pointer(at) == Some(module.at)
}

fn is_code(reference: &ReferenceModules<'_>, at: VirtAddr) -> Option<bool> {
    let space = &reference.kernel.space;
    let walk = space.walk(at);
    walk.outcome.ok()?;
    Some(space.paging().is_executable(walk.steps.last()?.value))
}

/// `mem[]`: code first, then data. Parts that a module has not are empty.
fn is_mem(reference: &ReferenceModules<'_>, module: &Sample, parts: Parts) -> bool {
    let start = |index: u64| parts.start.saturating_add(index.saturating_mul(PART));
    let other = if parts.size == 8 { 12 } else { 8 };
    let Some((code, _)) = part(module, start(0), parts.size) else { return false };
    let sound = (0..STAYING).all(|index| {
        let empty = module.word(start(index)) == Some(0);
        let Some((base, _)) = part(module, start(index), parts.size) else { return empty };
        let rest = module.half(start(index).saturating_add(other));
        leads_back(module, start(index).saturating_add(16))
            && rest.is_some_and(|rest| rest <= 1)
            && is_code(reference, base) == Some(index == 0)
    });
    sound && is_code(reference, code) == Some(true)
}

/// `core_layout`, with `init_layout` behind it. Code is first, and ends at a page's end.
fn is_layout(reference: &ReferenceModules<'_>, module: &Sample, start: u64) -> bool {
    let Some((base, size)) = part(module, start, 8) else { return false };
    let half = |skip| module.half(start.saturating_add(skip)).map(u64::from);
    let (Some(text), Some(read_only), Some(after)) = (half(12), half(16), half(20)) else {
        return false;
    };
    let data = base.wrapping_add(text);
    text > 0
        && text <= read_only
        && read_only <= after
        && after <= size
        && leads_back(module, start.saturating_add(24))
        && is_code(reference, base) == Some(true)
        && (text == size || is_code(reference, data) == Some(false))
}

fn mem(parts: Parts, layouts: &mut Layouts) {
    let count = KINDS.len() as u64;
    let whole = Field {
        offset: parts.start,
        size: count.saturating_mul(PART),
        bits: None,
        elements: u32::try_from(count).ok(),
    };
    layouts.insert(MODULE, "mem", whole);
    for index in 0..count {
        let start = parts.start.saturating_add(index.saturating_mul(PART));
        layouts.know(MODULE, &format!("mem[{index}].base"), start, 8);
        layouts.know(MODULE, &format!("mem[{index}].size"), start.saturating_add(parts.size), 4);
    }
    let values = KINDS.iter().zip(0..).map(|(name, value)| ((*name).to_owned(), value));
    layouts.know_values("mod_mem_type", values.collect());
}

fn core_layout(start: u64, layouts: &mut Layouts) {
    for (name, start) in [("core_layout", start), ("init_layout", start.saturating_add(LAYOUT))] {
        for (member, skip, size) in [("base", 0, 8), ("size", 8, 4), ("text_size", 12, 4)] {
            layouts.know(MODULE, &format!("{name}.{member}"), start.saturating_add(skip), size);
        }
    }
}
