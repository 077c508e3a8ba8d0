//! An event of the log, read: its lines, its stacks, the function to blame, its titles.

use super::blame::{self, Blame, EventView};
use super::families::Families;
use super::kinds::{BlameSource, HEADER_LOST, Header, PANIC};
use super::signature::{self, Signature};
use super::stack::name::{normalised, without_syscall_prefix};
use super::stack::{self, Frame, Item};
use super::title::{self, Titles};
use super::{damage, extent, one_cpu};
use crate::triage::core_stacks::{CoreFrame, CoreStacks};
use crate::triage::log::RecordLine;

/// An event of the log.
pub(super) struct Event<'a> {
    pub(super) header: &'a Header,
    /// Which lines of the log are its own.
    pub(super) indexes: Vec<usize>,
    pub(super) items: Vec<Item>,
    pub(super) blame: Blame,
    pub(super) titles: Titles,
    /// The reason to take the report for damaged.
    pub(super) damage: Option<String>,
    pub(super) signature: Signature,
    /// The function to blame is from the core's stack.
    pub(super) from_core: bool,
}

impl<'a> Event<'a> {
    pub(super) fn read(
        lines: &'a [RecordLine<'a>],
        headers: &'a [Header],
        which: usize,
        families: &Families,
        stacks: &CoreStacks,
    ) -> Self {
        static NOTHING: Header = Header::nothing();
        let header = headers.get(which).unwrap_or(&NOTHING);
        let indexes = extent::of(lines, headers, which);
        let mut items = stack::items(lines, &indexes);
        let stack = match header.cpu {
            Some(cpu) => {
                items = one_cpu::of_cpu(lines, items, cpu);
                stacks.of_cpu(cpu)
            }
            // The stack of the CPU that panicked is not that of the task which hangs.
            None if header.kind.reported_by_another => &[],
            None => &stacks.panicked,
        };
        let view = EventView { header, lines, indexes: &indexes, items: &items, families };
        let mut blame = blame::find(&view);
        let mut from_core = false;
        let doubtful = blame.function.is_none() || blame.guess || blame.substitute;
        if doubtful && header.kind.blame != BlameSource::None && !stack.is_empty() {
            from_core = blame::find_in_core(&view, stack, &mut blame);
        }
        let origin = blame::origin(&view);
        let titles = title::of(header, blame.function.as_deref(), origin.as_deref());
        // The core's stack makes up for a report that is cut, but not for a lost header.
        let damage = damage::why(&view, &blame, &titles.title)
            .filter(|_| !from_core || header.kind.is(&HEADER_LOST));
        let mut about: Vec<&str> = titles.frame.as_deref().into_iter().collect();
        let panicked = header.kind.is(&PANIC);
        let below = if panicked { below_panic(&items, stack, families) } else { None };
        about.extend(below.as_deref().map(without_syscall_prefix));
        let path = variant_path(&items, stack, families);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let mut signature =
            Signature::of(families.version(), &header.class, &about, &path, damage.is_some());
        signature.of_class_only = about.is_empty() && header.kind.blame != BlameSource::None;
        blame.function = blame.function.or(below);
        Self { header, indexes, items, blame, titles, damage, signature, from_core }
    }
}

/// Whether a function is neither part of dying nor of printing that.
fn is_below(name: &str, families: &Families) -> bool {
    !["die", "dump", "@modules"].iter().any(|family| families.is_in(name, family))
}

/// The first function below `panic()`, in the log or in the core.
fn below_panic(items: &[Item], stack: &[CoreFrame], families: &Families) -> Option<String> {
    let frames = items.iter().filter_map(Item::frame).filter(|frame| frame.reliable);
    let mut below =
        frames.skip_while(|frame| frame.name != "panic" && frame.name != "vpanic").skip(1);
    let is_below_panic =
        |frame: &&Frame| is_below(&frame.name, families) && !frame.is_behind_noreturn();
    if let Some(frame) = below.find(is_below_panic) {
        return Some(frame.name.clone());
    }
    let mut in_core = stack.iter().map(|frame| normalised(&frame.function));
    in_core.find(|name| is_below(name, families)).map(str::to_owned)
}

/// The functions that make a variant.
fn variant_path(items: &[Item], stack: &[CoreFrame], families: &Families) -> Vec<String> {
    let frames = items.iter().filter_map(Item::frame);
    let frames = frames.filter(|frame| frame.reliable && !frame.is_behind_noreturn());
    let in_log = first_below(frames.map(|frame| frame.name.as_str()), families);
    if in_log.is_empty() {
        first_below(stack.iter().map(|frame| normalised(&frame.function)), families)
    } else {
        in_log
    }
}

fn first_below<'a>(names: impl Iterator<Item = &'a str>, families: &Families) -> Vec<String> {
    let names = names.filter(|name| is_below(name, families)).map(without_syscall_prefix);
    names.take(signature::VARIANT_FRAMES).map(str::to_owned).collect()
}
