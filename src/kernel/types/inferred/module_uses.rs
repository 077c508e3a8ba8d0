//! `struct module_use`: which module uses which.
//!
//! ```text
//! module        source_list, target_list, exit, refcnt
//! module_use    0 source_list   16 target_list   32 source*   40 target*
//! ```
//!
//! Entries of a module's `source_list` have the module as their target, and another one as their
//! source. `refcnt` is at least one more than their number.

use vmcore_formats::addr::VirtAddr;

use super::layouts::{Doubt, Layouts};
use super::reference_modules::{MODULE, ReferenceModules};
use super::samples::{Sample, offsets, only};
use crate::kernel::types::List;

const USE: &str = "module_use";
const MAX_USERS: usize = 1024;
/// `exit` and the list of what a module uses are between.
const REFERENCES: u64 = 40;

pub(super) fn infer(reference: &ReferenceModules<'_>, layouts: &mut Layouts) {
    let length = reference.modules.iter().map(Sample::length).max().unwrap_or_default();
    let mut used = false;
    let found = offsets(0..length, 8, |offset| {
        let all: Option<Vec<usize>> =
            reference.modules.iter().map(|module| users(reference, module, offset)).collect();
        let Some(all) = all else { return false };
        let any = all.iter().any(|users| *users > 0);
        used |= any;
        any && reference.modules.iter().zip(all).all(|(module, users)| {
            let references = module.half(offset.saturating_add(REFERENCES)).map(u32::cast_signed);
            let least = i32::try_from(users).unwrap_or(i32::MAX).saturating_add(1);
            references.is_some_and(|references| references >= least || module.half(0) == Some(2))
        })
    });
    match only(&found) {
        Ok(offset) => {
            layouts.know(MODULE, "source_list", offset, 16);
            layouts.know(MODULE, "refcnt.counter", offset.saturating_add(REFERENCES), 4);
            layouts.know(USE, "source_list", 0, 16);
            layouts.know(USE, "source", 32, 8);
        }
        Err(doubt) if used => layouts.doubt("module.source_list", doubt),
        Err(_) => layouts.doubt("module.source_list, for no module uses another", Doubt::Nothing),
    }
}

/// How many users are in a list, if it is one of users.
fn users(reference: &ReferenceModules<'_>, module: &Sample, offset: u64) -> Option<usize> {
    let head = module.place(offset);
    let (next, before) = (module.pointer(offset)?, module.pointer(offset.saturating_add(8))?);
    if next == head && before == head {
        return Some(0);
    }
    let is_use = |at: VirtAddr| {
        let one = Sample::read(&reference.kernel.space, at, 48);
        one.pointer(32).is_some_and(|source| reference.has(source) && source != module.at)
            && one.pointer(40) == Some(module.at)
    };
    if !is_use(next) {
        return None;
    }
    let (space, budget) = (&reference.kernel.space, &reference.budget);
    let list = List::walk(space, head, "users", MAX_USERS, budget);
    let sound = list.finding.is_none() && list.nodes.iter().all(|node| is_use(*node));
    sound.then_some(list.nodes.len())
}
