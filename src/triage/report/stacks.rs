//! The stacks of CPUs and tasks, as a report has them.

use super::data::{Register, Stack, StackFrame};
use crate::kernel::backtrace::Backtrace;
use crate::kernel::unwind::{EntryRegisters, StackEnd};

/// The most frames of a stack.
const MAX_FRAMES: usize = 100;
/// The registers of an entry into the kernel that are worth a line.
const ENTRY_REGISTERS: [&str; 9] =
    ["rip", "rsp", "cr2", "orig_rax", "eflags", "pc", "sp", "pstate", "far"];

/// A stack, as a report has it.
pub(super) fn stack(backtrace: &Backtrace) -> Stack {
    let frames = backtrace.frames.iter().take(MAX_FRAMES);
    let left_out = backtrace.frames.len().saturating_sub(MAX_FRAMES);
    let end = match &backtrace.end {
        _ if left_out > 0 => Some(format!("{left_out} more frames")),
        StackEnd::Cut(why) => Some(format!("cut off: {why}")),
        StackEnd::UserMode => Some("user space".to_owned()),
        StackEnd::Bottom => None,
    };
    Stack {
        frames: frames
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
