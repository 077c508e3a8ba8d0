//! The parts of a report's text, one below the other.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::lines;
use super::paint::{Look, Paint};
use crate::printable::shown;
use crate::triage::report::data::{Blocked, Cpu, Finding, Mount, Report, Stack};
use crate::units::{bytes, percent};

/// How wide functions are.
const FUNCTION_WIDTH: usize = 52;
/// How many registers are on a line.
const REGISTERS: usize = 4;
/// How many groups of blocked tasks are shown.
const GROUPS: usize = 10;
/// How many mounts are shown.
const MOUNTS: usize = 20;
/// How many tasks of a group are named.
const NAMED: usize = 8;
/// How long a line of names may become.
const NAMES_WIDTH: usize = 100;

/// A CPU: what it was doing, its stack, and its registers if wanted.
pub(super) fn cpu(cpu: &Cpu, registers: bool, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let task = cpu.task.as_ref().map(|task| format!("  {}", lines::task(task)));
    let name =
        format!("{}{}  {}", lines::cpu(cpu), task.unwrap_or_default(), lines::state(cpu.state));
    writeln!(out, "\n{}", paint.of(Look::Head, &name))?;
    stack(&cpu.stack, paint, out)?;
    if registers {
        for row in cpu.registers.chunks(REGISTERS) {
            let row: Vec<_> = row
                .iter()
                .map(|register| {
                    let value = register.value.trim_start_matches("0x");
                    format!("{:<3} {value:>16}", shown(&register.name))
                })
                .collect();
            writeln!(out, "  {}", paint.of(Look::Faint, &row.join("  ")))?;
        }
    }
    Ok(())
}

/// A stack, frame by frame.
pub(super) fn stack(stack: &Stack, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    for (number, frame) in stack.frames.iter().enumerate() {
        if let Some(entry) = &frame.entry {
            writeln!(out, "      {}", paint.of(Look::Faint, &format!("--- {entry}")))?;
        }
        let function = shown(&lines::function(frame));
        let trust = paint.of(Look::Faint, &frame.trust);
        writeln!(out, "  {number:>3} {function:<FUNCTION_WIDTH$} {trust}")?;
    }
    if let Some(end) = &stack.end {
        writeln!(out, "      {}", paint.of(Look::Faint, end))?;
    }
    Ok(())
}

/// The bugcheck of a guest that is not Linux.
pub(super) fn bugcheck(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let Some(bugcheck) = &report.bugcheck else { return Ok(()) };
    let name = bugcheck.name.as_deref().unwrap_or("an unknown code");
    let head = format!("Bugcheck {}  {name}", bugcheck.code);
    writeln!(out, "\n{}", paint.of(Look::Head, &head))?;
    for (index, parameter) in bugcheck.parameters.iter().enumerate() {
        let meaning = parameter.meaning.as_deref().unwrap_or_default();
        writeln!(
            out,
            "  P{} {:>18}  {}",
            index.saturating_add(1),
            shown(&parameter.value),
            shown(meaning)
        )?;
    }
    Ok(())
}

/// The tasks, counted, and those that were blocked.
pub(super) fn tasks(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if let Some(tasks) = &report.tasks {
        writeln!(out, "\n{}", paint.of(Look::Head, "Tasks"))?;
        writeln!(out, "  {}", shown(&lines::task_counts(tasks)))?;
    }
    for group in report.blocked.iter().take(GROUPS) {
        writeln!(out)?;
        blocked(group, paint, out)?;
    }
    if let Some(more) = report.blocked.len().checked_sub(GROUPS).filter(|more| *more > 0) {
        writeln!(out, "  and {more} more groups of blocked tasks")?;
    }
    Ok(())
}

/// Tasks that wait for the same thing, and their stack.
pub(super) fn blocked(group: &Blocked, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let tasks: Vec<_> = group.tasks.iter().take(NAMED).map(lines::task).collect();
    let more = group.count.saturating_sub(tasks.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let name = format!("Blocked: {}{more}", tasks.join(", "));
    writeln!(out, "{}", paint.of(Look::Head, &name))?;
    stack(&group.stack, paint, out)
}

/// How the memory was used.
pub(super) fn memory(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    let Some(memory) = &report.memory else { return Ok(()) };
    let head = format!("Memory, {}{}", bytes(memory.total_bytes), lines::available(memory));
    writeln!(out, "\n{}", paint.of(Look::Head, &head))?;
    for part in &memory.parts {
        let share = percent(part.bytes, memory.total_bytes);
        let (name, size) = (shown(&part.name), bytes(part.bytes));
        writeln!(out, "  {name:<22} {size:>12} {share:>8}")?;
    }
    Ok(())
}

/// The mounted file systems that have a device or a size. The others are the kernel's own, such
/// as proc.
pub(super) fn mounts(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if report.mounts.is_empty() {
        return Ok(());
    }
    let head = format!("Mounted file systems, {}", report.mounts.len());
    writeln!(out, "\n{}", paint.of(Look::Head, &head))?;
    let sized = |mount: &&Mount| mount.total_bytes.is_some() || mount.device.starts_with('/');
    for mount in report.mounts.iter().filter(sized).take(MOUNTS) {
        let (path, kind) = (shown(lines::mount_point(mount)), lines::file_system(mount));
        writeln!(out, "  {path:<22} {:<40} {}", shown(&kind), lines::used(mount))?;
    }
    if let Some(more) =
        report.mounts.iter().filter(sized).count().checked_sub(MOUNTS).filter(|more| *more > 0)
    {
        writeln!(out, "  and {more} more")?;
    }
    Ok(())
}

/// The modules, by what they taint the kernel with.
pub(super) fn modules(report: &Report, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if report.modules.is_empty() {
        return Ok(());
    }
    let head = format!("Modules, {}", report.modules.len());
    writeln!(out, "\n{}", paint.of(Look::Head, &head))?;
    let mut by_taint: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for module in &report.modules {
        by_taint
            .entry(module.taints.as_deref().unwrap_or_default())
            .or_default()
            .push(&module.name);
    }
    // Modules that taint the kernel come first.
    for (taint, names) in by_taint.iter().rev() {
        let mut line = if taint.is_empty() { String::new() } else { format!("({taint})") };
        for name in names {
            if line.len().saturating_add(name.len()) > NAMES_WIDTH {
                writeln!(out, "  {}", shown(line.trim_start()))?;
                line.clear();
            }
            line = line + " " + name;
        }
        writeln!(out, "  {}", shown(line.trim_start()))?;
    }
    Ok(())
}

/// What is missing, damaged or doubtful.
pub(super) fn findings(findings: &[Finding], paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.of(Look::Head, "Findings"))?;
    for finding in findings {
        let (about, trust) = (shown(&finding.about), lines::trust(finding.trust));
        writeln!(out, "  {about:<10} {}  ({trust})", shown(&finding.text))?;
    }
    Ok(())
}
