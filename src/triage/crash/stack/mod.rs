//! The stacks of an event, as the log has them.
//!
//! Needs: the lines that belong to an event. Gives: program counters, frames and what parts
//! them, in their order. Which of them is guilty is decided elsewhere ([`super::guilty`]).

pub(crate) mod line;
pub(crate) mod name;

use line::{Mention, Role, Said};

use crate::triage::record::Line;

/// How many items of stacks are read of one event.
const MAX_ITEMS: usize = 4096;

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
    /// The kernel marked it as a guess, and every other one, too: it is taken nevertheless.
    pub(crate) guess: bool,
    pub(crate) at_start: bool,
}

/// A part of what an event's lines say of stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A function.
    Frame(Frame),
    /// A stack begins.
    Begin(usize),
    /// A processor was at an address without a name.
    NamelessPc(usize),
    /// A stack ends in user space.
    UserPc(usize),
    /// A line that is nothing of a stack.
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
pub(crate) fn items(lines: &[Line<'_>], indexes: &[usize]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut last_callee = None;
    for index in indexes {
        if items.len() >= MAX_ITEMS {
            break;
        }
        let Some(line) = lines.get(*index) else { continue };
        match line::read(line.text) {
            Some(Said::One(one)) => items.push(frame(*index, one)),
            Some(Said::Two(callee, caller)) => {
                let callee = frame(*index, callee);
                two(&mut items, callee, &mut last_callee);
                items.push(frame(*index, caller));
            }
            Some(Said::NamelessPc) => items.push(Item::NamelessPc(*index)),
            Some(Said::UserPc) => items.push(Item::UserPc(*index)),
            Some(Said::Begin) => items.push(Item::Begin(*index)),
            None => items.push(Item::Other(*index)),
        }
    }
    trust_guesses_if_there_is_nothing_else(&mut items);
    items
}

/// Adds a callee that arm names besides its caller. It is the caller of the line before, and
/// known better there: the address that a function which does not return would return to is
/// that of the next one.
fn two(items: &mut Vec<Item>, callee: Item, last_callee: &mut Option<String>) {
    let Item::Frame(callee) = callee else { return };
    let inlined = last_callee.as_ref() == Some(&callee.name);
    let name = callee.name.clone();
    let before = items.iter_mut().rev().find_map(|item| match item {
        Item::Frame(frame) => Some(frame),
        _ => None,
    });
    match before {
        // The same frame again, for what was inlined into its caller.
        Some(_) if inlined => {}
        Some(caller) if last_callee.is_some() && caller.line < callee.line => {
            caller.name.clone_from(&name);
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
        module: mention.module.map(str::to_owned),
        reliable: mention.reliable,
        guess: false,
        at_start: mention.at_start,
    })
}

/// Some unwinders mark every frame as a guess.
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
