//! Whether a report is damaged: cut, mixed with another, or without what its kind has.
//!
//! Needs: an event, its lines and its stacks. Gives: why its title is not to be trusted, if so.

use super::guilty::{Guilt, Scene};
use super::header::has;
use super::kind::{Kind, Source};
use super::stack::Item;
use super::stack::line::Role;

/// Within how many lines of the word that begins a stack its first frame has to be.
const FRAMES_WITHIN: usize = 15;

/// Frames that are a stack, although none was announced.
const FEW_FRAMES: usize = 2;

/// Why an event's report is damaged.
pub(crate) fn why(scene: &Scene<'_>, guilt: &Guilt, title: &str) -> Option<String> {
    let kind = scene.header.kind;
    if scene.header.damaged {
        return Some("the header is cut".to_owned());
    }
    if looks_like_time(title) {
        return Some("another record's time is within the title".to_owned());
    }
    if kind == Kind::HeaderLost {
        return Some("the header is lost".to_owned());
    }
    let source = kind.rule().source;
    if source == Source::None {
        return echo(title);
    }
    if guilt.function.is_none() && scene.header.cpu.is_some() {
        return Some("the stack of the CPU that locked up is not in the log".to_owned());
    }
    if guilt.function.is_none() {
        return Some("no function of the report may have done it".to_owned());
    }
    if guilt.guess {
        return Some("every function of the stack is a guess".to_owned());
    }
    let of_one_task = !matches!(source, Source::Stall | Source::Hung);
    if of_one_task
        && scene
            .items
            .iter()
            .filter_map(Item::frame)
            .any(|frame| frame.name.starts_with("should_fail"))
    {
        return Some("the stack of an injected fault is mixed in".to_owned());
    }
    let faulted_again = scene.indexes.iter().skip(1).filter_map(|index| scene.lines.get(*index));
    if faulted_again.clone().any(|line| has(line.text, "PANIC: double fault")) {
        return Some("another fault's report is mixed in".to_owned());
    }
    // What was found is told in their header, and nothing else need be.
    if matches!(kind, Kind::HeldReturning | Kind::StackCorrupt) {
        return None;
    }
    let mut any = false;
    for (at, item) in scene.items.iter().enumerate() {
        let marks = match item {
            Item::Begin(_) => true,
            Item::Other(line) => scene.lines.get(*line).is_some_and(|line| marks(line.text)),
            _ => false,
        };
        if !marks {
            continue;
        }
        let behind = scene.items.get(at..).unwrap_or_default();
        let near = behind.iter().take(FRAMES_WITHIN + 1);
        let lost = |item: &Item| {
            let line = scene.lines.get(item.line());
            line.is_some_and(|line| has(line.text, "(stack is not available)"))
        };
        if !near.clone().any(|item| item.frame().is_some() || lost(item)) {
            return Some("a stack is announced and not there".to_owned());
        }
        any = true;
    }
    let stackless = matches!(source, Source::HeaderBehind | Source::Behind | Source::After(_))
        && kind != Kind::Unbalanced;
    let frames =
        scene.items.iter().filter_map(Item::frame).filter(|frame| frame.role == Role::Stack);
    any |= frames.take(FEW_FRAMES).count() == FEW_FRAMES;
    (!any && !stackless).then(|| "the report has no stack".to_owned())
}

/// Whether a line says that a stack follows.
fn marks(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let starts: [&[u8]; 3] = [b"Allocated by task", b"Freed by task", b"backtrace:"];
    starts.iter().any(|start| text.starts_with(start))
}

/// Whether only the panic's echo of a lost event is there.
fn echo(title: &str) -> Option<String> {
    let echoes = ["Fatal exception", "panic_on_warn set", "hung_task: blocked tasks"];
    let is_echo =
        title.starts_with("kernel panic") && echoes.iter().any(|echo| has(title.as_bytes(), echo));
    is_echo.then(|| "only the panic is left of the event".to_owned())
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
