//! Processors that go round, and tasks that wait.
//!
//! The sampled program counter is random within a loop, and a waiting task is always in the
//! scheduler. What a busy processor works on is what a dispatcher called: a system call, a
//! timer, a soft interrupt. What a task waits in is the first function that is not waiting.

use super::{Guilt, Scene};
use crate::triage::crash::kind::Kind;
use crate::triage::crash::stack::line::Role;
use crate::triage::crash::stack::{Frame, Item};

/// Whether a function is the entry of an interrupt: what is below it was interrupted.
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
    ];
    name.contains("apic_timer_interrupt") || entries.iter().any(|entry| name.starts_with(entry))
}

/// Names what a busy processor works on.
pub(super) fn stalled(scene: &Scene<'_>, guilt: &mut Guilt) {
    if let Some(frame) = in_a_module(scene) {
        guilt.take(frame);
        return;
    }
    for start in starts(scene) {
        let frames = scene.stack_from(Some(start)).filter(|frame| frame.reliable);
        let mut inside: Option<&Frame> = None;
        for frame in frames {
            if frame.role == Role::Pc && frame.module.is_some() && !scene.is_skipped(frame) {
                guilt.take(frame);
                return;
            }
            if scene.families.is_in(&frame.name, "@anchor") {
                // Where nothing but helpers is inside, the dispatcher itself is what goes on.
                guilt.take(inside.unwrap_or(frame));
                return;
            }
            if frame.name.starts_with("smp_call_function") {
                guilt.take(frame);
                return;
            }
            if scene.is_skipped(frame) {
                let family = scene.families.of(&frame.name, scene.kind().rule().families);
                guilt.skip(frame, family.unwrap_or_default());
            } else {
                inside = Some(frame);
            }
        }
    }
}

/// Where this very processor was, if that is in a module: no dispatcher further out says more. Kernels before 5.12 print
/// it before the stack alone, and not once more below the interrupt.
fn in_a_module<'f>(scene: &'f Scene<'_>) -> Option<&'f Frame> {
    let of_itself = matches!(
        scene.kind(),
        Kind::SoftLockup | Kind::StackGuard | Kind::StackOverflow | Kind::StackEnd
    );
    let first = scene.items.get(scene.pc_at()?).and_then(Item::frame)?;
    (of_itself && first.module.is_some() && !scene.is_skipped(first)).then_some(first)
}

/// Where the interrupted stacks begin, the likeliest first.
fn starts(scene: &Scene<'_>) -> Vec<usize> {
    let entered = |item: &Item| match item {
        Item::Frame(frame) => is_interrupt(&frame.name),
        Item::Other(line) => scene
            .lines
            .get(*line)
            .is_some_and(|line| memchr::memmem::find(line.text, b"Exception stack(").is_some()),
        _ => false,
    };
    let mut starts: Vec<usize> = Vec::new();
    let last_of_run = |at: usize| !scene.items.get(at + 1).is_some_and(entered);
    let entries =
        scene.items.iter().enumerate().filter(|(at, item)| entered(item) && last_of_run(*at));
    starts.extend(entries.map(|(at, _)| at + 1));
    let is_pc = |item: &Item| item.frame().is_some_and(|frame| frame.role == Role::Pc);
    // Newer kernels print the registers of what was interrupted: its stack begins there.
    if let Some(entry) = starts.first().copied()
        && let Some(behind) = scene.items.iter().skip(entry).position(is_pc)
    {
        starts.insert(0, entry + behind);
    }
    let pcs = scene.items.iter().enumerate().filter(|(_, item)| is_pc(item));
    starts.extend(pcs.map(|(at, _)| at));
    if scene.kind() == Kind::RcuStall {
        // The tasks that it lists besides are not what stalls.
        return starts;
    }
    let begins = scene.items.iter().enumerate().filter(|(_, item)| matches!(item, Item::Begin(_)));
    starts.extend(begins.map(|(at, _)| at));
    starts.truncate(64);
    starts
}

/// Names what a task waits in.
pub(super) fn hung(scene: &Scene<'_>, guilt: &mut Guilt) {
    let frames: Vec<&Frame> =
        scene.stack_from(scene.begin()).filter(|frame| frame.reliable).collect();
    let known = |names: &[&str]| {
        frames.iter().copied().find(|frame| names.iter().any(|name| frame.name.contains(name)))
    };
    let waits_for = known(&["rtnl_lock"]).or_else(|| {
        known(&["synchronize_rcu", "synchronize_srcu", "synchronize_net", "synchronize_sched"])
    });
    if let Some(frame) = waits_for {
        guilt.take(frame);
        return;
    }
    scene.first(guilt, frames.into_iter());
}

impl Scene<'_> {
    fn is_skipped(&self, frame: &Frame) -> bool {
        self.family(frame).is_some()
    }
}
