//! Where `init_task` is.
//!
//! By its symbol; without `KALLSYMS_ALL`, by its name in the image: it has pid 0, and is its own
//! parent.

use vmcore_formats::addr::VirtAddr;

use crate::kernel::types::{Object, Types};
use crate::kernel::{Kernel, image};

/// Where `init_task` is.
pub(super) fn find(kernel: &Kernel, types: &Types) -> Option<VirtAddr> {
    let by_symbol = kernel.symbol("init_task").filter(|at| is_init(kernel, *at));
    by_symbol.or_else(|| {
        let comm = types.offset("task_struct", "comm").ok()?;
        let from = image::start(&kernel.info)?;
        image::search(&kernel.space, from, image::MAX_LENGTH, b"swapper", |name| {
            let at = name.checked_sub(comm)?;
            is_init(kernel, at).then_some(at)
        })
    })
}

fn is_init(kernel: &Kernel, at: VirtAddr) -> bool {
    let check = || {
        let task = Object::at(kernel, "task_struct", at).ok()?;
        let first = task.u32("pid").ok()? == 0 && task.u32("tgid").ok()? == 0;
        Some(first && task.pointer("real_parent").ok()? == at)
    };
    at.is_aligned(8) && check() == Some(true)
}
