//! Whether a report is damaged: cut, mixed with another, or without a part that its kind has.
//!
//! Needs: an event, its lines and its stacks. Gives: the reason not to trust its title, if any.

use super::blame::{Blame, EventView};
use super::kinds::{BlameSource, HEADER_LOST, STACK_OVERFLOW, StackRule};
use super::stack::line::Role;
use super::stack::{FEW_FRAMES, Item};
use super::text::has;

/// Within how many lines of `Call Trace:` or the like the first frame has to be.
const FRAMES_WITHIN: usize = 15;

/// The reason to take an event's report for damaged.
pub(crate) fn why(event: &EventView<'_>, blame: &Blame, title: &str) -> Option<String> {
    let kind = event.header.kind;
    if event.header.damaged {
        return Some("the header is cut".to_owned());
    }
    if looks_like_time(title) {
        return Some("another record's time is within the title".to_owned());
    }
    if kind.is(&HEADER_LOST) {
        return Some("the header is lost".to_owned());
    }
    let source = kind.blame;
    if source == BlameSource::None {
        return echo(title);
    }
    if blame.function.is_none() && event.header.cpu.is_some() {
        return Some("the stack of the CPU that locked up is not in the log".to_owned());
    }
    if blame.function.is_none() && !event.items.iter().any(|item| item.frame().is_some()) {
        return Some("no line of the report was read as a stack frame".to_owned());
    }
    if blame.function.is_none() {
        return Some("the report has no function outside of the families".to_owned());
    }
    if blame.substitute {
        return Some("no stack has a function outside of the families".to_owned());
    }
    if blame.guess {
        return Some("every function of the stack is a guess".to_owned());
    }
    let of_one_task = !matches!(source, BlameSource::Stall { .. } | BlameSource::Wait);
    if of_one_task
        && event
            .items
            .iter()
            .filter_map(Item::frame)
            .any(|frame| frame.name.starts_with("should_fail"))
    {
        return Some("the stack of an injected fault is mixed in".to_owned());
    }
    let faulted_again = event.indexes.iter().skip(1).filter_map(|index| event.lines.get(*index));
    // A stack that overflows faults twice.
    let twice = kind.alternate == Some(STACK_OVERFLOW);
    if !twice && faulted_again.clone().any(|line| has(line.text, "PANIC: double fault")) {
        return Some("another fault's report is mixed in".to_owned());
    }
    if kind.stack == StackRule::HeaderOnly {
        return None;
    }
    let mut any = false;
    for (at, item) in event.items.iter().enumerate() {
        let marks = match item {
            Item::Begin(_) => true,
            Item::Other(line) => event.lines.get(*line).is_some_and(|line| marks(line.text)),
            _ => false,
        };
        if !marks {
            continue;
        }
        let behind = event.items.get(at..).unwrap_or_default();
        let near = behind.iter().take(FRAMES_WITHIN + 1);
        let lost = |item: &Item| {
            let line = event.lines.get(item.line());
            line.is_some_and(|line| has(line.text, "(stack is not available)"))
        };
        if !near.clone().any(|item| item.frame().is_some() || lost(item)) {
            return Some("a stack is announced and missing".to_owned());
        }
        any = true;
    }
    let frames =
        event.items.iter().filter_map(Item::frame).filter(|frame| frame.role == Role::Stack);
    any |= frames.take(FEW_FRAMES).count() == FEW_FRAMES;
    (!any && kind.stack == StackRule::Announced).then(|| "the report has no stack".to_owned())
}

/// Whether a line announces a stack.
fn marks(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let starts: [&[u8]; 3] = [b"Allocated by task", b"Freed by task", b"backtrace:"];
    starts.iter().any(|start| text.starts_with(start))
}

/// Whether a panic is all that is left of the event that caused it.
fn echo(title: &str) -> Option<String> {
    let echoes = ["Fatal exception", "panic_on_warn set", "hung_task: blocked tasks"];
    let is_echo =
        title.starts_with("kernel panic") && echoes.iter().any(|echo| has(title.as_bytes(), echo));
    is_echo.then(|| "the event that caused the panic is not in the log".to_owned())
}

/// `[  123.456789]`
fn looks_like_time(title: &str) -> bool {
    title.split('[').skip(1).any(|behind| {
        let inside = behind.trim_start();
        inside.split_once(']').is_some_and(|(time, _)| {
            time.split_once('.').is_some_and(|(seconds, micros)| {
                let digits =
                    |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                digits(seconds) && digits(micros) || seconds == "NUM"
            })
        })
    })
}
