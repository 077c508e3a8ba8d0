//! The panicking task's stack out of a core, as the naming of a crash takes it.

use super::crash::KnownFrame;
use crate::kernel::Kernel;
use crate::kernel::backtrace::Backtrace;
use crate::kernel::cpus::Cpus;
use crate::kernel::unwind::Trust;
use crate::vmcore::Vmcore;

/// The functions on the stack of the CPU that panicked, innermost first. What was found by a
/// scan alone is left out: it may be left over from before.
///
/// Empty if no CPU says that it panicked, or its stack cannot be read.
#[must_use]
pub fn panic_stack(kernel: &Kernel, core: &Vmcore) -> Vec<KnownFrame> {
    let cpus = Cpus::of(kernel, core);
    let panicked = cpus.panicked.and_then(|number| cpus.numbered(number));
    let Some((vcpu, _)) = panicked.and_then(|cpu| cpu.vcpu) else { return Vec::new() };
    let frames = Backtrace::of_cpu(kernel, core, vcpu).frames;
    let sure = frames.into_iter().filter(|frame| frame.trust != Trust::Scan);
    sure.filter_map(|frame| frame.place)
        .map(|place| KnownFrame { function: place.name, module: place.module })
        .collect()
}
