//! Stacks, for people and as JSON.
//!
//! ```text
//! CPU 0  panicked  init (pid 1)
//!   #0  pvpanic_send_event+0x2a/0x40 [pvpanic]  registers
//!   #1  notifier_call_chain+0x56/0xe0           orc
//!         kernel/notifier.c:93 notifier_call_chain
//!   #2  asm_exc_page_fault+0x22/0x30            orc
//!         entered from the code below, whose registers were
//!         rip      ffffffff8107c2b4  rsp      ffffc90000013e08  ...
//! ```

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::json::{hex, hex_if_known};
use super::table::{Side, padded};
use crate::debugger::source_lines::SourceLine;
use crate::kernel::backtrace::Backtrace;
use crate::kernel::unwind::{EntryRegisters, StackEnd, StackFrame};
use crate::printable::shown;

/// The schema of stacks as JSON.
pub const SCHEMA: &str = "vmcorectl/backtraces/1";
/// How many registers are on a line.
const COLUMNS: usize = 3;
/// How wide the column of functions becomes. Longer names are longer than it.
const MAX_WIDTH: usize = 96;

/// A stack and its owner.
#[derive(Clone, Debug)]
pub struct Stack<'a> {
    /// The CPU, if it was on one.
    pub cpu: Option<u32>,
    /// Whether that CPU panicked.
    pub panicked: bool,
    /// The task's pid and name, if they are known.
    pub task: Option<(i32, &'a str)>,
    /// The stack itself.
    pub backtrace: Backtrace,
    /// The source lines of each frame, if they were asked for.
    pub lines: Vec<Vec<SourceLine>>,
}

/// Prints stacks.
pub fn text(stacks: &[Stack<'_>], out: &mut dyn Write) -> io::Result<()> {
    for (index, stack) in stacks.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        one(stack, out)?;
    }
    Ok(())
}

fn one(stack: &Stack<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut head: Vec<String> = Vec::new();
    head.extend(stack.cpu.map(|cpu| format!("CPU {cpu}")));
    head.extend(stack.panicked.then(|| "panicked".to_owned()));
    head.extend(stack.task.map(|(pid, name)| format!("{} (pid {pid})", shown(name))));
    writeln!(out, "{}", head.join("  "))?;
    let Backtrace { frames, end, findings } = &stack.backtrace;
    let names: Vec<String> = frames.iter().map(name).collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default().min(MAX_WIDTH);
    for (index, (frame, name)) in frames.iter().zip(&names).enumerate() {
        let number = format!("#{index}");
        let name = padded(name, width, Side::Left);
        writeln!(out, "{number:>4}  {name}  {}", frame.trust)?;
        for line in stack.lines.get(index).into_iter().flatten() {
            writeln!(out, "        {}", source(line))?;
        }
        if let Some(entry) = &frame.entry {
            registers(entry, out)?;
        }
    }
    match end {
        StackEnd::UserMode if frames.is_empty() => writeln!(out, "      in user code")?,
        StackEnd::UserMode | StackEnd::Bottom => {}
        StackEnd::Cut(why) => writeln!(out, "      not followed further: {}", shown(why))?,
    }
    for finding in findings {
        writeln!(out, "      finding  {}", shown(finding))?;
    }
    Ok(())
}

fn name(frame: &StackFrame) -> String {
    match &frame.symbol {
        Some(symbol) => shown(&symbol.to_string()),
        None => frame.address.address().to_string(),
    }
}

fn source(line: &SourceLine) -> String {
    let file = line.file.as_deref().unwrap_or("?");
    let number = line.line.map_or_else(|| "?".to_owned(), |line| line.to_string());
    let function = line.function.as_deref().unwrap_or("?");
    shown(&format!("{file}:{number} {function}"))
}

fn registers(entry: &EntryRegisters, out: &mut dyn Write) -> io::Result<()> {
    let who = if entry.from_user { "user code" } else { "the code below" };
    writeln!(out, "        entered from {who}, whose registers were")?;
    let width = entry.registers.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for row in entry.registers.chunks(COLUMNS) {
        let row: Vec<_> = row.iter().map(|(name, value)| register(name, *value, width)).collect();
        writeln!(out, "        {}", row.join("  "))?;
    }
    Ok(())
}

fn register(name: &str, value: u64, width: usize) -> String {
    format!("{} {value:016x}", padded(name, width, Side::Left))
}

/// Stacks as JSON.
#[derive(Debug, Serialize)]
pub struct BacktracesJson<'a> {
    schema: &'static str,
    stacks: Vec<JsonStack<'a>>,
    findings: &'a [String],
}

#[derive(Debug, Serialize)]
struct JsonStack<'a> {
    cpu: Option<u32>,
    panicked: bool,
    pid: Option<i32>,
    comm: Option<&'a str>,
    frames: Vec<JsonFrame<'a>>,
    end: &'static str,
    cut: Option<&'a str>,
    findings: &'a [String],
}

#[derive(Debug, Serialize)]
struct JsonFrame<'a> {
    #[serde(serialize_with = "hex")]
    address: u64,
    returns: bool,
    #[serde(serialize_with = "hex_if_known")]
    sp: Option<u64>,
    function: Option<&'a str>,
    offset: Option<u64>,
    size: Option<u64>,
    module: Option<&'a str>,
    build_id: Option<&'a str>,
    trust: &'static str,
    entry: Option<JsonEntry<'a>>,
    lines: Vec<JsonLine<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonEntry<'a> {
    #[serde(serialize_with = "hex")]
    address: u64,
    from_user: bool,
    registers: Values<'a>,
}

#[derive(Debug, Serialize)]
struct JsonLine<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
}

/// Values by name.
#[derive(Debug)]
struct Values<'a>(&'a [(&'static str, u64)]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, format!("{value:#x}"))))
    }
}

impl<'a> BacktracesJson<'a> {
    /// The stacks, and the findings of the command.
    pub fn new(stacks: &'a [Stack<'a>], findings: &'a [String]) -> Self {
        Self { schema: SCHEMA, stacks: stacks.iter().map(JsonStack::of).collect(), findings }
    }
}

impl<'a> JsonStack<'a> {
    fn of(stack: &'a Stack<'a>) -> Self {
        let Backtrace { frames, end, findings } = &stack.backtrace;
        let nothing: &[SourceLine] = &[];
        let lines = stack.lines.iter().map(Vec::as_slice).chain(std::iter::repeat(nothing));
        let (end, cut) = match end {
            StackEnd::UserMode => ("user", None),
            StackEnd::Bottom => ("bottom", None),
            StackEnd::Cut(why) => ("cut", Some(why.as_str())),
        };
        Self {
            cpu: stack.cpu,
            panicked: stack.panicked,
            pid: stack.task.map(|(pid, _)| pid),
            comm: stack.task.map(|(_, comm)| comm),
            frames: frames.iter().zip(lines).map(|(frame, lines)| json(frame, lines)).collect(),
            end,
            cut,
            findings,
        }
    }
}

fn json<'a>(frame: &'a StackFrame, lines: &'a [SourceLine]) -> JsonFrame<'a> {
    let symbol = frame.symbol.as_ref();
    let line = |line: &'a SourceLine| JsonLine {
        function: line.function.as_deref(),
        file: line.file.as_deref(),
        line: line.line,
    };
    JsonFrame {
        address: frame.address.address().0,
        returns: matches!(frame.address, crate::kernel::CodeAddress::Return(_)),
        sp: frame.sp.map(|sp| sp.0),
        function: symbol.map(|symbol| symbol.name.as_str()),
        offset: symbol.map(|symbol| symbol.offset),
        size: symbol.map(|symbol| symbol.size),
        module: symbol.and_then(|symbol| symbol.module.as_deref()),
        build_id: symbol.and_then(|symbol| symbol.build_id.as_deref()),
        trust: frame.trust.name(),
        entry: frame.entry.as_deref().map(|entry| JsonEntry {
            address: entry.at.0,
            from_user: entry.from_user,
            registers: Values(&entry.registers),
        }),
        lines: lines.iter().map(line).collect(),
    }
}

#[cfg(test)]
#[path = "backtrace_tests.rs"]
mod tests;
