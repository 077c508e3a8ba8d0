//! Pictures, where they say more than words: which CPUs did what, and where the memory went.

use std::fmt::Write;

use super::html::escape;
use super::lines;
use crate::triage::report::data::{Cpu, CpuState, Memory};
use crate::units::{bytes, percent};

/// How many CPUs are in a row.
const COLUMNS: usize = 16;
/// The side of a CPU's tile.
const TILE: usize = 44;
/// How many tiles are drawn.
const MAX_TILES: usize = 1024;
/// Colours of memory's parts, in their order: apart from each other in light and dark.
const COLOURS: [&str; 8] =
    ["#4c8dd6", "#e2954a", "#5fae73", "#b36ac2", "#c9b037", "#4db3b3", "#d1697a", "#8a94a3"];

/// The class of a CPU's colour.
pub(super) fn class(state: CpuState) -> &'static str {
    match state {
        CpuState::Panicked => "panicked",
        CpuState::Kernel => "kernel",
        CpuState::User => "user",
        CpuState::Idle => "idle",
        CpuState::Unknown => "unknown",
    }
}

/// A tile for each CPU. Two CPUs need no picture.
pub(super) fn cpus(cpus: &[Cpu], out: &mut String) {
    if cpus.len() < 3 {
        return;
    }
    let shown = cpus.len().min(MAX_TILES);
    let (width, height) = (COLUMNS.min(shown) * TILE, shown.div_ceil(COLUMNS) * TILE);
    let _ = writeln!(
        out,
        "<svg role=\"img\" aria-label=\"What each CPU did\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">"
    );
    for (index, cpu) in cpus.iter().take(MAX_TILES).enumerate() {
        let (x, y) = (index % COLUMNS * TILE, index / COLUMNS * TILE);
        let number = cpu.cpu.map_or(cpu.vcpu.to_string(), |number| number.to_string());
        let task = cpu.task.as_ref().map(|task| format!(", {}", lines::task(task)));
        let name =
            format!("{}: {}{}", lines::cpu(cpu), lines::state(cpu.state), task.unwrap_or_default());
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"40\" height=\"40\" rx=\"4\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"14\" fill=\"#fff\">{number}</text></g>",
            escape(&name),
            class(cpu.state),
            x + 2,
            y + 2,
            x + 22,
            y + 27,
        );
    }
    out.push_str("</svg>\n<p class=\"faint\">");
    for state in
        [CpuState::Panicked, CpuState::Kernel, CpuState::User, CpuState::Idle, CpuState::Unknown]
    {
        let count = cpus.iter().filter(|cpu| cpu.state == state).count();
        if count > 0 {
            let _ = write!(
                out,
                "<span class=\"key {}\"></span>{} {} &nbsp; ",
                class(state),
                count,
                lines::state(state)
            );
        }
    }
    out.push_str("</p>\n");
}

/// A bar of the memory's parts, and what they are.
pub(super) fn memory(memory: &Memory, out: &mut String) {
    const WIDTH: u64 = 1000;
    let total = memory.total_bytes.max(1);
    let _ = writeln!(
        out,
        "<svg role=\"img\" aria-label=\"What the memory was used for\" width=\"1000\" height=\"28\" \
         viewBox=\"0 0 1000 28\" preserveAspectRatio=\"none\">"
    );
    let mut x = 0_u64;
    let colours = || COLOURS.iter().cycle();
    for (part, colour) in memory.parts.iter().zip(colours()) {
        // Wide arithmetic: what a guest says of its memory may be any number.
        let wide = u128::from(part.bytes) * u128::from(WIDTH) / u128::from(total);
        let width = u64::try_from(wide).unwrap_or(WIDTH).min(WIDTH - x);
        let name = format!("{}: {}", part.name, bytes(part.bytes));
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect x=\"{x}\" y=\"0\" width=\"{width}\" height=\"28\" fill=\"{colour}\"/></g>",
            escape(&name)
        );
        x += width;
    }
    out.push_str("</svg>\n<table>\n");
    for (part, colour) in memory.parts.iter().zip(colours()) {
        let _ = writeln!(
            out,
            "<tr><td><span class=\"key\" style=\"background:{colour}\"></span>{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
            escape(&part.name),
            bytes(part.bytes),
            percent(part.bytes, total),
        );
    }
    let _ = writeln!(
        out,
        "<tr><th>in all</th><td class=\"number\">{}</td><td>{}</td></tr>\n</table>",
        bytes(memory.total_bytes),
        lines::available(memory).trim_start_matches(", "),
    );
}
