//! The stacks of CPUs and tasks, as a report has them.

use super::data::{Register, Stack, StackFrame};
use crate::kernel::backtrace::Backtrace;
use crate::kernel::unwind::{EntryRegisters, StackEnd, StackFrame as Frame};
use crate::printable::is_printable;

/// The most frames of a stack.
const MAX_FRAMES: usize = 100;
/// The registers of an entry into the kernel that are worth a line.
const ENTRY_REGISTERS: [&str; 9] =
    ["rip", "rsp", "cr2", "orig_rax", "eflags", "pc", "sp", "pstate", "far"];

/// How many bytes of frames a report still has room for.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    /// For all stacks of a report. 500 CPUs with 20 functions each need 3 MB; the names of a
    /// hostile guest are ten times as long.
    pub(super) fn of_stacks() -> Self {
        Self(4 << 20)
    }

    /// Whether there is room for another frame.
    fn take(&mut self, frame: &Frame) -> bool {
        /// About what JSON takes for a frame without names.
        const FRAME: usize = 250;
        // A character that is not printed takes six bytes.
        let bytes = |text: &str| -> usize {
            text.chars().map(|c| if is_printable(c) { c.len_utf8() } else { 6 }).sum()
        };
        let symbol = frame.symbol.as_ref();
        let name = symbol.map_or(0, |symbol| bytes(&symbol.name));
        let module = symbol.and_then(|symbol| symbol.module.as_deref()).map_or(0, bytes);
        match self.0.checked_sub(name.saturating_add(module).saturating_add(FRAME)) {
            Some(left) => self.0 = left,
            None => return false,
        }
        true
    }
}

/// A stack, as a report has it.
pub(super) fn stack(backtrace: &Backtrace, room: &mut Room) -> Stack {
    let frames = backtrace.frames.iter().take(MAX_FRAMES);
    let frames: Vec<_> = frames.take_while(|frame| room.take(frame)).collect();
    let left_out = backtrace.frames.len().saturating_sub(frames.len());
    let end = match &backtrace.end {
        _ if left_out > 0 => Some(format!("{left_out} more frames")),
        StackEnd::Cut(why) => Some(format!("cut off: {why}")),
        StackEnd::UserMode => Some("user space".to_owned()),
        StackEnd::Bottom => None,
    };
    Stack {
        frames: frames
            .into_iter()
            .map(|frame| StackFrame {
                address: format!("{:#x}", frame.address.address().0),
                function: frame.symbol.as_ref().map(|symbol| {
                    format!("{}+{:#x}/{:#x}", symbol.name, symbol.offset, symbol.size)
                }),
                module: frame.symbol.as_ref().and_then(|symbol| symbol.module.clone()),
                trust: frame.trust.to_string(),
                entry: frame.entry.as_deref().map(entry),
            })
            .collect(),
        end,
    }
}

/// An entry into the kernel, with the registers that matter most.
fn entry(entry: &EntryRegisters) -> String {
    let registers =
        ENTRY_REGISTERS.iter().filter_map(|name| Some(format!("{name} {:#x}", entry.get(name)?)));
    let from = if entry.from_user { "from user space" } else { "from the kernel" };
    format!("entered {from}: {}", registers.collect::<Vec<_>>().join(", "))
}

/// The functions of a stack without offsets: two tasks with the same ones wait for the same thing.
pub(super) fn functions(stack: &Stack) -> Vec<&str> {
    stack
        .frames
        .iter()
        .map(|frame| {
            let function = frame.function.as_deref().unwrap_or(&frame.address);
            function.split_once('+').map_or(function, |(name, _)| name)
        })
        .collect()
}

/// A vCPU's registers.
pub(super) fn registers(registers: &[vmcore_formats::registers::Register]) -> Vec<Register> {
    let register = |register: &vmcore_formats::registers::Register| Register {
        name: register.name.to_string(),
        value: format!("{:#x}", register.value),
    };
    registers.iter().map(register).collect()
}

#[cfg(test)]
mod tests {
    use vmcore_formats::addr::VirtAddr;

    use super::*;
    use crate::kernel::unwind::Trust;
    use crate::kernel::{CodeAddress, SymbolisedAddress};

    /// A stack of this many functions with this name.
    fn deep(name: &str, frames: usize) -> Backtrace {
        let symbol = SymbolisedAddress {
            name: name.to_owned(),
            offset: 1,
            size: 2,
            module: None,
            build_id: None,
        };
        let frame = Frame {
            address: CodeAddress::Instruction(VirtAddr(1)),
            sp: None,
            symbol: Some(symbol),
            trust: Trust::Scan,
            entry: None,
        };
        Backtrace { frames: vec![frame; frames], end: StackEnd::Bottom, findings: Vec::new() }
    }

    /// Six names of 21,695 tokens made a report of 1.46 GB.
    #[test]
    fn all_stacks_of_a_report_are_of_bounded_length_as_json() {
        for name in ["n".repeat(512), "\u{1b}".repeat(512), "\u{202e}".repeat(170), "ok".to_owned()]
        {
            let mut room = Room::of_stacks();
            let stacks: Vec<_> = (0..1000).map(|_| stack(&deep(&name, 100), &mut room)).collect();
            let mut json = Vec::new();
            crate::printable::json::pretty(&stacks, &mut json).unwrap();
            assert!(json.len() < 6 << 20, "{}", json.len());
            let end = stacks.last().and_then(|stack| stack.end.clone());
            assert_eq!(end.as_deref(), Some("100 more frames"));
            assert_eq!(stacks[0].frames.len(), 100);
        }
    }
}
