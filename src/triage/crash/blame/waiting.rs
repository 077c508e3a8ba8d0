//! The function to blame for a busy CPU or a waiting task.
//!
//! Within a loop, the sampled program counter is random: a busy CPU is named by what a dispatcher
//! called, for example a system call, a timer or a softirq. A waiting task is always in the
//! scheduler: it is named by the first function that is not part of waiting.

use super::{Blame, EventView};
use crate::triage::crash::stack::line::Role;
use crate::triage::crash::stack::{Frame, Item};

/// `kernel/smp.c`: a function that runs on other CPUs is called and waited for.
const CROSS_CALL: &str = "smp_call_function";

/// Interrupts that a CPU which locked up hard does not take: it was in one of them already.
const MASKED: [&str; 5] =
    ["apic_timer_interrupt", "sysvec_", "common_interrupt", "do_IRQ", "ret_from_intr"];

/// Whether a function is an interrupt's entry: the frames below it were interrupted.
pub(super) fn is_interrupt(name: &str) -> bool {
    let entries = [
        "asm_sysvec_",
        "sysvec_",
        "el1h_64_irq",
        "el1_irq",
        "el1_interrupt",
        "__irq_svc",
        "__irq_usr",
        "ret_from_intr",
        "handle_IPI",
        "do_IRQ",
        "common_interrupt",
        "asm_common_interrupt",
        "asm_exc_nmi",
        "end_repeat_nmi",
        "el1h_64_fiq",
        "el1h_64_error",
        "call_on_irq_stack",
        "do_interrupt_handler",
        "generic_handle_arch_irq",
        "handle_riscv_irq",
        "do_irq",
        "riscv_intc_irq",
        "do_ext_irq",
        "ext_int_handler",
        "do_io_irq",
        "io_int_handler",
        "timer_interrupt",
        "decrementer_common",
        "hardware_interrupt_common",
        "plat_irq_dispatch",
        "handle_int",
        "do_vint",
        "handle_vint",
        "handle_loongarch_irq",
    ];
    // In old kernels, the entry of an NMI has the bare name.
    name == "nmi"
        || name.contains("apic_timer_interrupt")
        || entries.iter().any(|entry| name.starts_with(entry))
}

/// Blames the function that a dispatcher called on a busy CPU.
pub(super) fn stalled(event: &EventView<'_>, every_stack: bool, blame: &mut Blame) {
    if let Some(frame) = pc_in_module(event) {
        blame.take(frame);
        return;
    }
    for start in starts(event, every_stack) {
        let frames = event.stack_from(Some(start)).filter(|frame| frame.reliable);
        let mut inside: Option<&Frame> = None;
        for frame in frames {
            // The interrupted function is in a module: no dispatcher further out says more.
            let interrupted = frame.role == Role::Pc || inside.is_none();
            if interrupted && frame.module.is_some() && !event.is_skipped(frame) {
                blame.take(frame);
                return;
            }
            if event.families.is_in(&frame.name, "@anchor") {
                // With nothing but helpers inside, the work item or the dispatcher itself is busy.
                let work = if frame.name == "process_one_work" { event.work() } else { None };
                blame.take(inside.or(work.as_ref()).unwrap_or(frame));
                return;
            }
            // A CPU that waits for others: which of the family's functions waits, the build decides.
            if frame.name.contains(CROSS_CALL) {
                blame.take(&Frame { name: CROSS_CALL.to_owned(), ..frame.clone() });
                return;
            }
            if event.is_skipped(frame) {
                let family = event.families.of(&frame.name, event.kind().skip);
                blame.skip(frame, family.unwrap_or_default());
            } else {
                inside = Some(frame);
            }
        }
    }
}

/// Blames the interrupted function, where no dispatcher is on its stack.
pub(super) fn interrupted(event: &EventView<'_>, every_stack: bool, blame: &mut Blame) {
    for start in starts(event, every_stack) {
        event.first(blame, event.stack_from(Some(start)));
        if blame.function.is_some() {
            return;
        }
    }
}

/// The program counter, if it is in a module: no dispatcher further out says more. Older
/// kernels print it before the stack only, and not below the interrupt again.
fn pc_in_module<'f>(event: &'f EventView<'_>) -> Option<&'f Frame> {
    let first = event.items.get(event.pc_at()?).and_then(Item::frame)?;
    let is_own = !event.kind().reported_by_another;
    (is_own && first.module.is_some() && !event.is_skipped(first)).then_some(first)
}

/// Where the interrupted stacks begin, the likeliest first.
fn starts(event: &EventView<'_>, every_stack: bool) -> Vec<usize> {
    let entered = |item: &Item| match item {
        Item::Frame(frame) => {
            let name = frame.name.as_str();
            let masked =
                event.header.cpu.is_some() && MASKED.iter().any(|word| name.contains(word));
            is_interrupt(name) && !masked
        }
        Item::Other(line) => event
            .lines
            .get(*line)
            .is_some_and(|line| memchr::memmem::find(line.text, b"Exception stack(").is_some()),
        _ => false,
    };
    let mut starts: Vec<usize> = Vec::new();
    let last_of_run = |at: usize| !event.items.get(at + 1).is_some_and(entered);
    let entries =
        event.items.iter().enumerate().filter(|(at, item)| entered(item) && last_of_run(*at));
    starts.extend(entries.map(|(at, _)| at + 1));
    let is_pc = |item: &Item| item.frame().is_some_and(|frame| frame.role == Role::Pc);
    // Newer kernels print the interrupted registers: the interrupted stack begins there.
    if let Some(entry) = starts.first().copied()
        && let Some(behind) = event.items.iter().skip(entry).position(is_pc)
    {
        starts.insert(0, entry + behind);
    }
    let pcs = event.items.iter().enumerate().filter(|(_, item)| is_pc(item));
    starts.extend(pcs.map(|(at, _)| at));
    // The stack of the task on a CPU that stalls, where the CPU itself could not be asked.
    let dumped = event.line_with("Task dump for CPU").and_then(|line| {
        let begins = |item: &Item| matches!(item, Item::Begin(_)) && item.line() > line;
        event.items.iter().position(begins)
    });
    starts.extend(dumped);
    if !every_stack {
        return starts;
    }
    let begins = event.items.iter().enumerate().filter(|(_, item)| matches!(item, Item::Begin(_)));
    starts.extend(begins.map(|(at, _)| at));
    starts.truncate(64);
    starts
}

/// Blames the function that a task waits in.
pub(super) fn hung(event: &EventView<'_>, blame: &mut Blame) {
    let frames: Vec<&Frame> =
        event.stack_from(event.begin()).filter(|frame| frame.reliable).collect();
    let with = |names: &[&str]| {
        frames.iter().copied().find(|frame| names.iter().any(|name| frame.name.contains(name)))
    };
    let waits_for = with(&["rtnl_lock"]).or_else(|| {
        with(&["synchronize_rcu", "synchronize_srcu", "synchronize_net", "synchronize_sched"])
    });
    if let Some(frame) = waits_for {
        blame.take(frame);
        return;
    }
    event.first(blame, frames.into_iter());
}

impl EventView<'_> {
    fn is_skipped(&self, frame: &Frame) -> bool {
        self.family(frame).is_some()
    }
}
