//! The registers that a task saves when it is switched out.
//!
//! ```text
//! x86-64   thread.sp ──► inactive_task_frame: .., bp, ret_addr    on its own stack
//! arm64    thread.cpu_context: .., fp, sp, pc
//! ```
//!
//! All waiting tasks were switched out by the same function, except for new ones, which begin at
//! `ret_from_fork`.

use std::collections::HashSet;

use vmcore_formats::addr::VirtAddr;

use super::layouts::{Doubt, Layouts};
use super::reference_tasks::{ReferenceTasks, TASK};
use super::samples::{Sample, only};
use crate::kernel::types::SavedContext;

/// The longest stack.
const MAX_STACK: u64 = 64 << 10;
/// The most words that are saved on a stack.
const MAX_SAVED: u64 = 16;
/// Where tasks begin.
const NEW: [&str; 2] = ["ret_from_fork", "ret_from_fork_asm"];

pub(super) fn infer(
    reference: &ReferenceTasks<'_>,
    stack: u64,
    on_cpu: Option<u64>,
    layouts: &mut Layouts,
) {
    let waits = |task: &&Sample| {
        let runs = on_cpu.is_some_and(|offset| task.byte(offset) != Some(0));
        !runs && task.pointer(stack).is_some()
    };
    let waiting: Vec<&Sample> = reference.others.iter().filter(waits).collect();
    match *reference.kernel.arch.saved_context() {
        SavedContext::OnStack { sp, frame, return_address, frame_pointer } => {
            let sp = layouts.take(TASK, sp, 8, stack_pointer(reference, &waiting, stack));
            let Some(sp) = sp else { return };
            match saved_words(reference, &waiting, sp) {
                Ok(words) => {
                    let ret = words.saturating_mul(8);
                    layouts.know(frame, return_address, ret, 8);
                    layouts.know(frame, frame_pointer, ret.saturating_sub(8), 8);
                    layouts.know_size(frame, ret.saturating_add(8));
                }
                Err(doubt) => layouts.doubt(frame, doubt),
            }
        }
        SavedContext::InTask { pc, sp, fp } => {
            let offset = layouts.take(TASK, pc, 8, context(reference, &waiting, stack));
            let Some(offset) = offset else { return };
            layouts.know(TASK, sp, offset.saturating_sub(8), 8);
            layouts.know(TASK, fp, offset.saturating_sub(16), 8);
        }
    }
}

/// Whether a word is an address in a task's own stack.
fn is_on_stack(task: &Sample, offset: u64, stack: u64) -> bool {
    let (Some(word), Some(stack)) = (task.word(offset), task.word(stack)) else { return false };
    let depth = word.wrapping_sub(stack);
    depth > 0 && depth < MAX_STACK && word % 8 == 0
}

fn stack_pointer(
    reference: &ReferenceTasks<'_>,
    waiting: &[&Sample],
    stack: u64,
) -> Result<u64, Doubt> {
    let of_all = |offset| waiting.iter().all(|task| is_on_stack(task, offset, stack));
    only(&reference.offsets(8, |offset| !waiting.is_empty() && of_all(offset)))
}

/// How many words are saved before the return address.
fn saved_words(reference: &ReferenceTasks<'_>, waiting: &[&Sample], sp: u64) -> Result<u64, Doubt> {
    let saved: Vec<Sample> = waiting
        .iter()
        .filter_map(|task| task.pointer(sp))
        .map(|at| Sample::read(&reference.kernel.space, at, MAX_SAVED.saturating_mul(8)))
        .collect();
    let returns = |index: u64| {
        let words = saved.iter().map(|saved| saved.word(index.saturating_mul(8)));
        !saved.is_empty() && of_one_function(reference, words, 1)
    };
    // What is on the stack behind it may be of one function, too.
    let first = (1..MAX_SAVED).find(|index| returns(*index));
    first.ok_or(Doubt::Nothing)
}

/// Where `pc` is, with `sp` and `fp` before it.
fn context(reference: &ReferenceTasks<'_>, waiting: &[&Sample], stack: u64) -> Result<u64, Doubt> {
    only(&reference.offsets(8, |offset| {
        let Some(sp) = offset.checked_sub(8).filter(|_| !waiting.is_empty()) else { return false };
        let strip = |word: u64| word | reference.kernel.info.number("KERNELPACMASK").unwrap_or(0);
        let words = waiting.iter().map(|task| task.word(offset).map(strip));
        waiting.iter().all(|task| is_on_stack(task, sp, stack))
            && of_one_function(reference, words, 0)
    }))
}

/// Whether all words are addresses in one and the same function of the kernel, but for those
/// that are where a task begins.
fn of_one_function(
    reference: &ReferenceTasks<'_>,
    words: impl Iterator<Item = Option<u64>>,
    before: u64,
) -> bool {
    let Ok(symbols) = reference.kernel.symbols() else { return false };
    let mut functions = HashSet::new();
    for word in words {
        let Some(word) = word else { return false };
        let new = symbols.containing(VirtAddr(word));
        if new.is_some_and(|place| place.offset == 0 && NEW.contains(&place.name.as_str())) {
            continue;
        }
        let inside = VirtAddr(word.wrapping_sub(before));
        let Some(place) = symbols.containing(inside).filter(|_| symbols.is_code(inside)) else {
            return false;
        };
        functions.insert(inside.0.wrapping_sub(place.offset));
        if functions.len() > 1 {
            return false;
        }
    }
    functions.len() == 1
}
