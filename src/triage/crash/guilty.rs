//! The guilty function: the one that an event is named by.
//!
//! Needs: an event's header, its stacks and the families. Gives: the function, and which ones
//! were passed over on the way to it, with the family that says so. The title is made elsewhere
//! ([`super::title`]).

mod waiting;

use super::KnownFrame;
use super::families::Families;
use super::header::Header;
use super::kind::{Kind, Source};
use super::stack::line::Role;
use super::stack::name;
use super::stack::{Frame, Item};
use crate::triage::record::Line;

/// A function that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// The function.
    pub(crate) function: String,
    /// Index of the line, if it is from one.
    pub(crate) line: Option<usize>,
    /// The family that says so.
    pub(crate) family: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guilt {
    /// The function, with a system call's prefix.
    pub(crate) function: Option<String>,
    pub(crate) module: Option<String>,
    /// Index of the line that names it.
    pub(crate) line: Option<usize>,
    /// The kernel was not sure that it was called.
    pub(crate) guess: bool,
    /// Where the processor was.
    pub(crate) pc: Option<(String, Option<String>)>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Instead of a family: the address that what does not return would return to is that of the
/// function behind its caller.
const NO_RETURN: &str = "(behind a function that does not return)";

/// What the search goes through.
pub(crate) struct Scene<'a> {
    pub(crate) header: &'a Header,
    pub(crate) lines: &'a [Line<'a>],
    pub(crate) indexes: &'a [usize],
    pub(crate) items: &'a [Item],
    pub(crate) families: &'a Families,
}

/// Finds the guilty function.
pub(crate) fn find(scene: &Scene<'_>) -> Guilt {
    let mut guilt = Guilt { pc: scene.pc(), ..Guilt::default() };
    let source = scene.header.kind.rule().source;
    match source {
        Source::None => guilt.function.clone_from(&scene.header.function),
        Source::Header => {
            let named = scene.named();
            scene.first(&mut guilt, named.iter().chain(scene.stack_from(scene.begin())));
        }
        Source::HeaderBehind => {
            let named = scene.named();
            scene.first(&mut guilt, named.iter().chain(scene.stack_behind(scene.header.line)));
        }
        Source::Pc => {
            let named = scene.named();
            if let Some(pc) = scene.pc_at() {
                scene.first(&mut guilt, scene.stack_from(Some(pc)));
            } else if scene.header.kind.is_warning() && scene.has_stack() {
                scene.first(&mut guilt, named.iter());
            }
            if guilt.function.is_none() {
                scene.first(&mut guilt, scene.stack_from(scene.begin()));
            }
            if guilt.function.is_none() && scene.kind() == Kind::HeaderLost {
                // It is all that is left, and the bucket is not relied on.
                let pc = scene.pc_at().and_then(|at| scene.items.get(at)).and_then(Item::frame);
                pc.into_iter().for_each(|pc| guilt.take(pc));
                guilt.guess = true;
            }
        }
        Source::PcOnly => scene.first(&mut guilt, scene.stack_from(scene.pc_at())),
        Source::Trace => scene.first(&mut guilt, scene.stack_from(scene.begin())),
        Source::Behind => {
            scene.first(&mut guilt, scene.stack_behind(scene.header.line));
            if guilt.function.is_none() {
                scene.first(&mut guilt, scene.stack_from(scene.begin()));
            }
        }
        Source::After(mark) => {
            let from = scene.mark(mark);
            let kept = from.map(|from| scene.stack_behind(from)).into_iter().flatten();
            scene.first(&mut guilt, kept);
        }
        Source::At(count) => {
            let named = scene.at(count);
            scene.first(&mut guilt, named.iter().chain(scene.stack_from(scene.begin())));
        }
        Source::Lock => match scene.at(1).first() {
            Some(named) => guilt.take(named),
            None => scene.first(&mut guilt, scene.stack_from(scene.begin())),
        },
        Source::Stall => waiting::stalled(scene, &mut guilt),
        Source::Hung => waiting::hung(scene, &mut guilt),
    }
    guilt
}

/// Finds it on a stack out of the core, in the same ways as on one of the log. Says whether it is
/// there.
pub(crate) fn of_core(scene: &Scene<'_>, stack: &[KnownFrame], guilt: &mut Guilt) -> bool {
    /// No line: it is none of the log's.
    const NO_LINE: usize = usize::MAX;
    let mut items = vec![Item::Begin(NO_LINE)];
    let mut interrupted = true;
    for known in stack {
        let name = name::of(&known.function);
        let role = if interrupted { Role::Pc } else { Role::Stack };
        interrupted = waiting::is_interrupt(&name);
        items.push(Item::Frame(Frame {
            line: NO_LINE,
            role,
            name,
            module: known.module.clone(),
            reliable: true,
            guess: false,
            at_start: false,
        }));
    }
    let scene = Scene { items: &items, ..*scene };
    let mut found = Guilt::default();
    match scene.kind().rule().source {
        Source::Stall => waiting::stalled(&scene, &mut found),
        Source::Hung => waiting::hung(&scene, &mut found),
        _ => {}
    }
    if found.function.is_none() {
        found = Guilt::default();
        scene.first(&mut found, scene.stack_from(scene.begin()));
    }
    let skipped = found.skipped.into_iter().map(|skipped| Skipped { line: None, ..skipped });
    guilt.skipped.extend(skipped);
    let is_there = found.function.is_some();
    if is_there {
        guilt.function = found.function;
        guilt.module = found.module;
        (guilt.line, guilt.guess) = (None, false);
    }
    is_there
}

/// Where the value came from that a sanitizer found to be uninitialised, if it is worth a title:
/// what leaks to a device is as well known by it.
pub(crate) fn origin(scene: &Scene<'_>) -> Option<String> {
    if scene.kind() != Kind::KmsanUsb {
        return None;
    }
    let mut found = Guilt::default();
    scene.first(&mut found, scene.stack_behind(scene.mark(" created at:")?));
    found.function
}

impl Scene<'_> {
    /// Takes the first function that no family covers.
    fn first<'f>(&self, guilt: &mut Guilt, frames: impl Iterator<Item = &'f Frame>) {
        let mut callee_ends = false;
        for frame in frames.filter(|frame| frame.reliable) {
            let lost = callee_ends && frame.at_start;
            callee_ends = matches!(frame.name.as_str(), "panic" | "vpanic" | "nmi_panic");
            match if lost { Some(NO_RETURN) } else { self.family(frame) } {
                Some(family) => guilt.skip(frame, family),
                None => {
                    guilt.take(frame);
                    return;
                }
            }
        }
    }

    /// The family by which a frame is passed over. Those of modules' own functions are not:
    /// a driver's `foo_put` is no kernel's.
    fn family(&self, frame: &Frame) -> Option<&str> {
        if frame.module.is_some() && frame.role != Role::Pc {
            return None;
        }
        self.families.of(&frame.name, self.header.kind.rule().families)
    }

    /// The function that the header names.
    fn named(&self) -> Option<Frame> {
        let name = self.header.function.clone()?;
        Some(Frame {
            line: self.header.line,
            role: Role::Stack,
            name,
            module: None,
            reliable: true,
            guess: false,
            at_start: false,
        })
    }

    /// Where the processor was.
    fn pc(&self) -> Option<(String, Option<String>)> {
        let pcs = self.items.iter().filter_map(Item::frame).find(|frame| frame.role == Role::Pc)?;
        Some((pcs.name.clone(), pcs.module.clone()))
    }

    fn pc_at(&self) -> Option<usize> {
        self.items.iter().position(|item| {
            matches!(item, Item::NamelessPc(_))
                || item.frame().is_some_and(|frame| frame.role == Role::Pc)
        })
    }

    /// Where the first stack begins.
    fn begin(&self) -> Option<usize> {
        self.items.iter().position(|item| matches!(item, Item::Begin(_)))
    }

    fn has_stack(&self) -> bool {
        self.items.iter().any(|item| item.frame().is_some())
    }

    /// The frames from an item on: to user space, to the next stack, or to where the event's
    /// other stacks begin.
    fn stack_from(&self, from: Option<usize>) -> impl Iterator<Item = &Frame> {
        let items = from.and_then(|from| self.items.get(from..)).unwrap_or_default();
        let mut frames = 0_usize;
        let nameless = matches!(items.first(), Some(Item::NamelessPc(_)));
        items
            .iter()
            .take_while(move |item| match item {
                Item::Begin(_) => frames == 0,
                Item::UserPc(_) => false,
                Item::Frame(frame) => {
                    frames += usize::from(frame.role == Role::Stack);
                    true
                }
                Item::Other(line) => {
                    frames == 0 || !self.lines.get(*line).is_some_and(|line| parts(line.text))
                }
                Item::NamelessPc(_) => true,
            })
            .filter_map(Item::frame)
            .filter(move |frame| frame.role != Role::Link || nameless)
    }

    /// The frames right behind a line, to the first that is none.
    fn stack_behind(&self, line: usize) -> impl Iterator<Item = &Frame> {
        let behind = self.items.iter().skip_while(move |item| item.line() <= line);
        let mut seen = false;
        behind
            .take_while(move |item| match item {
                Item::Frame(_) => {
                    seen = true;
                    true
                }
                Item::UserPc(_) => false,
                _ => !seen,
            })
            .filter_map(Item::frame)
    }

    /// The line with a mark.
    fn mark(&self, mark: &str) -> Option<usize> {
        let mark = mark.as_bytes();
        self.indexes.iter().copied().find(|index| {
            self.lines
                .get(*index)
                .is_some_and(|line| memchr::memmem::find(line.text, mark).is_some())
        })
    }

    /// The functions after `at:`: what took or waits for a lock. Old kernels print it on the
    /// next line.
    fn at(&self, count: usize) -> Vec<Frame> {
        let mut found = Vec::new();
        for index in self.indexes.iter().take(64) {
            let Some(line) = self.lines.get(*index) else { continue };
            let Some(at) = memchr::memmem::find(line.text, b"at: ") else { continue };
            let text = line.text.get(at + b"at: ".len()..).unwrap_or_default().trim_ascii_start();
            let text = match memchr::memchr(b']', text) {
                Some(end) if text.starts_with(b"[<") => {
                    text.get(end + 1..).unwrap_or_default().trim_ascii_start()
                }
                _ => text,
            };
            let length = text
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
                .count();
            let name = text
                .get(..length)
                .and_then(|name| std::str::from_utf8(name).ok())
                .unwrap_or_default();
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            found.push(Frame {
                line: *index,
                role: Role::Stack,
                name: name::of(name),
                module: None,
                reliable: true,
                guess: false,
                at_start: false,
            });
            if found.len() >= count {
                break;
            }
        }
        found
    }

    /// The kind.
    fn kind(&self) -> Kind {
        self.header.kind
    }
}

impl Guilt {
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

/// Whether a line says that what follows is another stack.
fn parts(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let starts: [&[u8]; 13] = [
        b"Allocated by",
        b"Freed by",
        b"Last potentially related",
        b"Second to last",
        b"Uninit was",
        b"Local variable",
        b"The buggy address",
        b"Showing all locks",
        b"Last call_rcu",
        b"Last user pages",
        b"page last free",
        b"Sending NMI",
        b"Last Breaking-Event-Address",
    ];
    starts.iter().any(|start| text.starts_with(start))
}
