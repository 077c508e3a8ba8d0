//! The stacks of an event, as the log has them.
//!
//! Needs: the lines that belong to an event. Gives: program counters, frames and what separates
//! them, in their order. Which function is to blame is decided elsewhere ([`super::blame`]).

mod decoded;
pub(crate) mod line;
pub(crate) mod name;

use line::{Mention, Role, StackLine};
use vmcore_formats::text::{MAX_NAME, bounded};

use crate::triage::log::RecordLine;

/// The most items that are read of one event.
const MAX_ITEMS: usize = 4096;

/// This many functions below each other are a stack although none was announced.
pub(crate) const FEW_FRAMES: usize = 2;

/// A function on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Index of the line.
    pub(crate) line: usize,
    pub(crate) role: Role,
    /// The normalised name, with a system call's prefix.
    pub(crate) name: String,
    pub(crate) module: Option<String>,
    pub(crate) reliable: bool,
    /// The kernel marked it as a guess, like all others of its stack: it counts nevertheless.
    pub(crate) guess: bool,
    pub(crate) at_start: bool,
}

impl Frame {
    /// A function that a line names beyond doubt.
    pub(crate) fn certain(line: usize, name: String, module: Option<String>) -> Self {
        let (role, reliable, guess, at_start) = (Role::Stack, true, false, false);
        Self { line, role, name, module, reliable, guess, at_start }
    }

    /// Whether the return address is that of a call which does not return: the compiler put
    /// nothing behind it, so the address already belongs to the next function.
    pub(crate) fn is_behind_noreturn(&self) -> bool {
        self.role == Role::Stack && self.at_start
    }
}

/// An item of an event's stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A function.
    Frame(Frame),
    /// A stack begins.
    Begin(usize),
    /// A program counter without a symbol.
    NamelessPc(usize),
    /// A stack ends in user space.
    UserPc(usize),
    /// A line that is not part of a stack.
    Other(usize),
}

impl Item {
    /// Index of its line.
    pub(crate) fn line(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.line,
            Self::Begin(line) | Self::NamelessPc(line) | Self::UserPc(line) | Self::Other(line) => {
                *line
            }
        }
    }

    /// The frame, if it is one.
    pub(crate) fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Frame(frame) => Some(frame),
            _ => None,
        }
    }
}

/// Reads the lines with these indexes.
pub(crate) fn items(lines: &[RecordLine<'_>], indexes: &[usize]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut last_callee = None;
    for index in indexes {
        if items.len() >= MAX_ITEMS {
            break;
        }
        let Some(line) = lines.get(*index) else { continue };
        match line::read(line.text) {
            Some(StackLine::Function(one)) => items.push(frame(*index, one)),
            Some(StackLine::CalleeAndCaller(callee, caller)) => {
                // The ARM unwinder announces no stack.
                if !matches!(items.last(), Some(Item::Frame(_) | Item::Begin(_)) | None)
                    && last_callee.is_none()
                {
                    items.push(Item::Begin(*index));
                }
                let callee = frame(*index, callee);
                callee_of_pair(&mut items, callee, &mut last_callee);
                items.push(frame(*index, caller));
            }
            Some(StackLine::NamelessPc) => items.push(Item::NamelessPc(*index)),
            Some(StackLine::UserPc) => items.push(Item::UserPc(*index)),
            Some(StackLine::Begin) => items.push(Item::Begin(*index)),
            None => items.push(Item::Other(*index)),
        }
    }
    trust_guesses_if_there_is_nothing_else(&mut items);
    items
}

/// Adds the callee of a line that arm prints with its caller. It is the caller of the line above,
/// where its name may be wrong: after a noreturn call, the return address already belongs to the
/// next function.
fn callee_of_pair(items: &mut Vec<Item>, callee: Item, last_callee: &mut Option<String>) {
    let Item::Frame(callee) = callee else { return };
    let inlined = last_callee.as_ref() == Some(&callee.name);
    let (name, module) = (callee.name.clone(), callee.module.clone());
    let before = items.iter_mut().rev().find_map(|item| match item {
        Item::Frame(frame) => Some(frame),
        _ => None,
    });
    match before {
        // The same frame again, for a function inlined into its caller.
        Some(_) if inlined => {}
        Some(caller) if last_callee.is_some() && caller.line < callee.line => {
            caller.name.clone_from(&name);
            (caller.module, caller.at_start) = (module, false);
        }
        _ => items.push(Item::Frame(callee)),
    }
    *last_callee = Some(name);
}

fn frame(line: usize, mention: Mention<'_>) -> Item {
    Item::Frame(Frame {
        line,
        role: mention.role,
        name: name::of(mention.symbol),
        module: mention.module.map(|module| bounded(module, MAX_NAME)),
        reliable: mention.reliable,
        guess: false,
        at_start: mention.at_start,
    })
}

/// Where an unwinder marks every frame as a guess, all of them count.
fn trust_guesses_if_there_is_nothing_else(items: &mut [Item]) {
    let of_stack = |item: &Item| item.frame().is_some_and(|frame| frame.role == Role::Stack);
    let reliable = |item: &Item| item.frame().is_some_and(|frame| frame.reliable);
    if items.iter().any(|item| of_stack(item) && reliable(item)) {
        return;
    }
    for item in items {
        if let Item::Frame(frame) = item {
            frame.guess = !frame.reliable;
            frame.reliable = true;
        }
    }
}
