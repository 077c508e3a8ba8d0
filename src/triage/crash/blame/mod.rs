//! The function to blame: the one that an event is named by.
//!
//! Needs: an event's header, its stacks and the families. Gives: the function, and the functions
//! that were skipped before it, each with its family. The title is made elsewhere
//! ([`super::title`]).

mod core_stack;
mod event_view;
mod waiting;

use super::kinds::BlameSource;
use super::stack::line::Role;
use super::stack::{Frame, Item};
pub(crate) use core_stack::find_in_core;
pub(crate) use event_view::EventView;

/// A function that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) function: String,
    /// Index of its line in the log; none if it is on the core's stack.
    pub(crate) line: Option<usize>,
    pub(crate) family: String,
}

/// The function to blame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blame {
    /// The function, with a system call's prefix.
    pub(crate) function: Option<String>,
    pub(crate) module: Option<String>,
    /// Index of the line that names it.
    pub(crate) line: Option<usize>,
    /// The kernel marked it with `?`.
    pub(crate) guess: bool,
    /// No stack has it: it is what a register, the header or the work item names.
    pub(crate) substitute: bool,
    /// The program counter's function and its module.
    pub(crate) pc: Option<(String, Option<String>)>,
    pub(crate) skipped: Vec<Skipped>,
}

/// How many locks of a report may have been taken by helpers.
const MAX_LOCKS: usize = 2;

/// Instead of a family: after a noreturn call, the return address already belongs to the next
/// function. Which one that is differs from build to build.
const NO_RETURN: &str = "(behind a function that does not return)";
/// The family of functions that are passed over although they are in modules.
const MODULES: &str = "@modules";

/// Finds the function to blame in the log.
pub(crate) fn find(event: &EventView<'_>) -> Blame {
    let mut blame = by_source(event);
    if blame.function.is_none() && event.kind().blame != BlameSource::None {
        what_is_left(event, &mut blame);
    }
    blame
}

/// Finds it where the kind of the event has it.
fn by_source(event: &EventView<'_>) -> Blame {
    let mut blame = Blame { pc: event.pc(), ..Blame::default() };
    let header = event.named();
    let header = || header.iter();
    let first_stack = || event.stack_from(event.begin());
    match event.kind().blame {
        BlameSource::None => blame.function.clone_from(&event.header.function),
        BlameSource::Header => event.first(&mut blame, header().chain(first_stack())),
        BlameSource::HeaderThenBelow => {
            event.first(&mut blame, header().chain(event.stack_below(event.header.line)));
        }
        BlameSource::Named => match event.named() {
            Some(named) => blame.take(&named),
            None => event.first(&mut blame, first_stack()),
        },
        source @ (BlameSource::Pc | BlameSource::PcOrHeader) => {
            let pc = event.pc_at();
            if pc.is_some() {
                event.first(&mut blame, event.stack_from(pc));
            } else if source == BlameSource::PcOrHeader {
                event.first(&mut blame, header());
            }
            if blame.function.is_none() {
                event.first(&mut blame, first_stack());
            }
        }
        BlameSource::PcOnly => event.first(&mut blame, event.stack_from(event.pc_at())),
        BlameSource::FirstStack => event.first(&mut blame, first_stack()),
        BlameSource::Below => {
            event.first(&mut blame, event.stack_below(event.header.line));
            if blame.function.is_none() {
                event.first(&mut blame, first_stack());
            }
        }
        BlameSource::BelowLine(words) => {
            let line = event.line_with(words);
            event.first(&mut blame, line.map(|line| event.stack_below(line)).into_iter().flatten());
        }
        BlameSource::Locks(count) => {
            event.first(&mut blame, event.lock_functions(count).iter().chain(first_stack()));
        }
        BlameSource::LockFunction => {
            let functions = event.lock_functions(MAX_LOCKS);
            event.first(&mut blame, functions.iter());
            match functions.first() {
                Some(function) if blame.function.is_none() => blame.take(function),
                Some(_) => {}
                None => event.first(&mut blame, first_stack()),
            }
        }
        BlameSource::Stall { every_stack } => waiting::stalled(event, every_stack, &mut blame),
        BlameSource::Wait => waiting::hung(event, &mut blame),
    }
    blame
}

/// Where the stack is cut, a register that a call left, the work item, and at last the program
/// counter or the header say where the CPU was.
fn what_is_left(event: &EventView<'_>, blame: &mut Blame) {
    blame.substitute = true;
    let of_role = |role: Role| {
        event.items.iter().filter_map(Item::frame).filter(move |frame| frame.role == role)
    };
    if let BlameSource::Stall { every_stack } = event.kind().blame {
        waiting::interrupted(event, every_stack, blame);
    }
    if blame.function.is_none() {
        event.first(blame, of_role(Role::Link));
    }
    if blame.function.is_none() {
        // A task may wait within a fault.
        let waits = event.kind().blame == BlameSource::Wait;
        let fault = event.stack_from(event.begin()).filter(|frame| frame.reliable);
        let fault = fault.filter(|frame| waits && event.families.is_in(&frame.name, "die"));
        let last = fault.cloned().chain(event.work());
        let last = last.chain(of_role(Role::Pc).cloned()).chain(event.named());
        last.take(1).for_each(|frame| blame.take(&frame));
    }
}

/// The function that made an uninitialised value, where a kind has a title for that.
pub(crate) fn origin(event: &EventView<'_>) -> Option<String> {
    let line = event.line_with(event.kind().origin?)?;
    let mut found = Blame::default();
    event.first(&mut found, event.stack_below(line));
    found.function
}

impl EventView<'_> {
    /// Takes the first function that no family has.
    fn first<'f>(&self, blame: &mut Blame, frames: impl Iterator<Item = &'f Frame>) {
        for frame in frames.filter(|frame| frame.reliable) {
            match self.family(frame) {
                Some(family) => blame.skip(frame, family),
                None => {
                    blame.take(frame);
                    return;
                }
            }
        }
    }

    /// The family of a frame. Functions of modules are in none but their own: a driver's `foo_put`
    /// is not the kernel's.
    fn family(&self, frame: &Frame) -> Option<&str> {
        if frame.is_behind_noreturn() {
            return Some(NO_RETURN);
        }
        if frame.module.is_some() && self.families.is_in(&frame.name, MODULES) {
            return Some(MODULES);
        }
        if frame.module.is_some() && frame.role != Role::Pc {
            return None;
        }
        self.families.of(&frame.name, self.kind().skip)
    }
}

impl Blame {
    fn skip(&mut self, frame: &Frame, family: &str) {
        self.skipped.push(Skipped {
            function: frame.name.clone(),
            line: Some(frame.line),
            family: family.to_owned(),
        });
    }

    fn take(&mut self, frame: &Frame) {
        self.function = Some(frame.name.clone());
        self.module.clone_from(&frame.module);
        self.line = Some(frame.line);
        self.guess = frame.guess;
    }
}
