//! The modules that layouts of `struct module` are checked on.
//!
//! ```text
//! modules ──list──► module     at the same offset in all kernels, as `state` and `name` are
//! ```

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use super::samples::{Sample, offsets};
use crate::kernel::Kernel;
use crate::kernel::budget::Budget;
use crate::kernel::types::List;

/// Their type.
pub(super) const MODULE: &str = "module";
pub(super) const LIST: u64 = 8;
pub(super) const NAME: u64 = 24;
pub(super) const NAME_LENGTH: u32 = 56;
/// How much of a module is looked at.
pub(super) const LENGTH: u64 = 2048;
const MAX_MODULES: usize = 4096;
const MAX_SAMPLES: usize = 512;

/// Parts of a module's memory: where they begin, and how long they are.
pub(super) type Ranges = Vec<Vec<(VirtAddr, u64)>>;

/// The modules that layouts are checked on.
pub(super) struct ReferenceModules<'k> {
    pub(super) kernel: &'k Kernel,
    /// Of all lists that are tried.
    pub(super) budget: Budget,
    pub(super) modules: Vec<Sample>,
    /// Where all of them are.
    addresses: HashSet<VirtAddr>,
}

impl ReferenceModules<'_> {
    /// The offsets in a module at which something is so of all of them.
    pub(super) fn of_all(&self, step: usize, is_so: impl Fn(&Sample, u64) -> bool) -> Vec<u64> {
        let all = |offset| self.modules.iter().all(|module| is_so(module, offset));
        offsets(0..LENGTH, step, all)
    }

    /// Whether there is a module at an address.
    pub(super) fn has(&self, at: VirtAddr) -> bool {
        self.addresses.contains(&at)
    }
}

/// The modules in the kernel's list, and what is wrong with the list. No modules if one of those in
/// the list is none.
///
/// Returns `None` if the kernel has no such list.
pub(super) fn find(kernel: &Kernel) -> Option<(ReferenceModules<'_>, Option<String>)> {
    let head = kernel.symbol("modules")?;
    let budget = Budget::of_walk();
    let mut list = List::walk(&kernel.space, head, "modules", MAX_MODULES, &budget);
    let addresses = list.nodes.iter().map(|node| node.wrapping_sub(LIST));
    let samples = addresses.clone().take(MAX_SAMPLES);
    let mut modules: Vec<_> = samples.map(|at| Sample::read(&kernel.space, at, LENGTH)).collect();
    if !modules.iter().all(|module| is_module(kernel, module)) {
        modules.clear();
        list.finding.get_or_insert_with(|| "the list of modules has others in it".to_owned());
    }
    let reference = ReferenceModules { kernel, budget, modules, addresses: addresses.collect() };
    Some((reference, list.finding))
}

/// Whether this is a module: its name has to equal that of its kobject.
fn is_module(kernel: &Kernel, module: &Sample) -> bool {
    let most = usize::try_from(NAME_LENGTH).unwrap_or_default();
    let state = module.half(0).is_some_and(|state| state <= 3);
    let Some(name) = module.text(NAME, most) else { return false };
    let again = module.pointer(NAME.saturating_add(NAME_LENGTH.into()));
    let again = again.map(|at| kernel.string(at, most)).unwrap_or_default();
    state && name == again.as_bytes()
}
