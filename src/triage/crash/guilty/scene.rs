//! What the search for the guilty function goes through: an event's header, its lines, and the
//! functions on its stacks, from where they are asked for.

use crate::triage::crash::families::Families;
use crate::triage::crash::header::Header;
use crate::triage::crash::kind::Kind;
use crate::triage::crash::stack::line::Role;
use crate::triage::crash::stack::{Frame, Item, name};
use crate::triage::record::Line;

/// What the search goes through.
pub(crate) struct Scene<'a> {
    pub(crate) header: &'a Header,
    pub(crate) lines: &'a [Line<'a>],
    pub(crate) indexes: &'a [usize],
    pub(crate) items: &'a [Item],
    pub(crate) families: &'a Families,
}

impl Scene<'_> {
    /// The function that the header names.
    pub(super) fn named(&self) -> Option<Frame> {
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
    pub(super) fn pc(&self) -> Option<(String, Option<String>)> {
        let pcs = self.items.iter().filter_map(Item::frame).find(|frame| frame.role == Role::Pc)?;
        Some((pcs.name.clone(), pcs.module.clone()))
    }

    pub(super) fn pc_at(&self) -> Option<usize> {
        self.items.iter().position(|item| {
            matches!(item, Item::NamelessPc(_))
                || item.frame().is_some_and(|frame| frame.role == Role::Pc)
        })
    }

    /// Where the first stack begins.
    pub(super) fn begin(&self) -> Option<usize> {
        self.items.iter().position(|item| matches!(item, Item::Begin(_)))
    }

    pub(super) fn has_stack(&self) -> bool {
        self.items.iter().any(|item| item.frame().is_some())
    }

    /// The frames from an item on: to user space, to the next stack, or to where the event's
    /// other stacks begin.
    pub(super) fn stack_from(&self, from: Option<usize>) -> impl Iterator<Item = &Frame> {
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
    pub(super) fn stack_behind(&self, line: usize) -> impl Iterator<Item = &Frame> {
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
    pub(super) fn mark(&self, mark: &str) -> Option<usize> {
        let mark = mark.as_bytes();
        self.indexes.iter().copied().find(|index| {
            self.lines
                .get(*index)
                .is_some_and(|line| memchr::memmem::find(line.text, mark).is_some())
        })
    }

    /// The functions after `at:`: what took or waits for a lock. Old kernels print it on the
    /// next line.
    pub(super) fn at(&self, count: usize) -> Vec<Frame> {
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
    pub(super) fn kind(&self) -> Kind {
        self.header.kind
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
