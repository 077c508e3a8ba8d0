//! An event as the search for the function to blame sees it: its header, its lines, and the
//! functions on its stacks from a given item or line on.

use crate::triage::crash::families::Families;
use crate::triage::crash::kinds::{Header, Kind};
use crate::triage::crash::stack::line::Role;
use crate::triage::crash::stack::{self, FEW_FRAMES, Frame, Item, name};
use crate::triage::log::RecordLine;

/// An event, with the log's lines and the families.
pub(crate) struct EventView<'a> {
    pub(crate) header: &'a Header,
    /// The lines of the whole log.
    pub(crate) lines: &'a [RecordLine<'a>],
    /// Which of them are the event's.
    pub(crate) indexes: &'a [usize],
    pub(crate) items: &'a [Item],
    pub(crate) families: &'a Families,
}

impl EventView<'_> {
    pub(super) fn kind(&self) -> &'static Kind {
        self.header.kind
    }

    /// The function that the header names.
    pub(super) fn named(&self) -> Option<Frame> {
        let name = self.header.function.clone()?;
        let text = self.lines.get(self.header.line).map_or(b"".as_slice(), |line| line.text);
        let at = memchr::memmem::find(text, name.as_bytes());
        let module = at.and_then(|at| stack::line::module_of(text.get(at..)?));
        let mut frames = self.items.iter().filter_map(Item::frame);
        let on_stack = || frames.find(|frame| frame.name == name)?.module.clone();
        let module = module.or_else(on_stack);
        Some(Frame::certain(self.header.line, name, module))
    }

    /// The function that a kworker runs: `Workqueue: events fn [module]`.
    pub(super) fn work(&self) -> Option<Frame> {
        let (index, behind) = self.indexes.iter().find_map(|index| {
            let text = self.lines.get(*index)?.text.trim_ascii();
            Some((*index, text.strip_prefix(b"Workqueue: ")?))
        })?;
        let work = behind.get(memchr::memchr(b' ', behind)? + 1..)?;
        let length = work.iter().take_while(|byte| **byte != b' ').count();
        let symbol = std::str::from_utf8(work.get(..length)?).ok()?;
        // A work item that ended has an address and no function.
        let named = symbol.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !named {
            return None;
        }
        Some(Frame::certain(index, name::of(symbol), stack::line::module_of(work)))
    }

    /// The function of the program counter, and its module.
    pub(super) fn pc(&self) -> Option<(String, Option<String>)> {
        let mut frames = self.items.iter().filter_map(Item::frame);
        let pc = frames.find(|frame| frame.role == Role::Pc)?;
        Some((pc.name.clone(), pc.module.clone()))
    }

    /// Index of the first program counter.
    pub(super) fn pc_at(&self) -> Option<usize> {
        self.items.iter().position(|item| {
            matches!(item, Item::NamelessPc(_))
                || item.frame().is_some_and(|frame| frame.role == Role::Pc)
        })
    }

    /// Index of the item that begins the first stack. Where none is announced, two functions
    /// below each other are one.
    pub(super) fn begin(&self) -> Option<usize> {
        let of_stack = |item: &Item| item.frame().is_some_and(|frame| frame.role == Role::Stack);
        let announced = self.items.iter().position(|item| matches!(item, Item::Begin(_)));
        announced
            .or_else(|| self.items.windows(FEW_FRAMES).position(|items| items.iter().all(of_stack)))
    }

    /// The frames from an item on, up to user space, the next stack, or the report's next part.
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
                    frames == 0 || !self.lines.get(*line).is_some_and(|line| begins_part(line.text))
                }
                Item::NamelessPc(_) => true,
            })
            .filter_map(Item::frame)
            .filter(move |frame| frame.role != Role::Link || nameless)
    }

    /// The frames directly below a line.
    pub(super) fn stack_below(&self, line: usize) -> impl Iterator<Item = &Frame> {
        let below = self.items.iter().skip_while(move |item| item.line() <= line);
        let mut seen = false;
        below
            .take_while(move |item| match item {
                Item::Frame(_) => {
                    seen = true;
                    true
                }
                Item::UserPc(_) => false,
                Item::Other(line) => !seen || self.is_inlined(*line),
                _ => !seen,
            })
            .filter_map(Item::frame)
    }

    /// Whether a tool that symbolises logs added a line for an inlined function.
    fn is_inlined(&self, line: usize) -> bool {
        self.lines.get(line).is_some_and(|line| line.text.trim_ascii().ends_with(b"[inline]"))
    }

    /// The event's first line with these words.
    pub(super) fn line_with(&self, words: &str) -> Option<usize> {
        let words = words.as_bytes();
        self.indexes.iter().copied().find(|index| {
            self.lines
                .get(*index)
                .is_some_and(|line| memchr::memmem::find(line.text, words).is_some())
        })
    }

    /// The functions after `at:`, which took a lock or wait for it. Old kernels print each on the
    /// next line.
    pub(super) fn lock_functions(&self, count: usize) -> Vec<Frame> {
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
            found.push(Frame::certain(*index, name::of(name), None));
            if found.len() >= count {
                break;
            }
        }
        found
    }
}

/// Whether another part of the report begins with a line, which may have a stack of its own.
fn begins_part(text: &[u8]) -> bool {
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
