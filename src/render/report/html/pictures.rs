//! Pictures: what each CPU did, and how the memory was used.

use maud::{Markup, html};

use super::super::lines;
use super::guest_text::GuestText;
use crate::triage::report::data::{Cpu, CpuState, Memory};
use crate::units::{bytes, percent};

/// How many CPUs are in a row.
const COLUMNS: usize = 16;
/// The side of a CPU's tile.
const TILE: usize = 44;
/// The most tiles.
const MAX_TILES: usize = 1024;
/// Colours of the memory's parts, distinct in light and dark.
const COLOURS: [&str; 8] =
    ["#4c8dd6", "#e2954a", "#5fae73", "#b36ac2", "#c9b037", "#4db3b3", "#d1697a", "#8a94a3"];

/// The CSS class of a CPU's state.
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
pub(super) fn cpus(cpus: &[Cpu]) -> Markup {
    let shown = cpus.len().min(MAX_TILES);
    let (width, height) = (COLUMNS.min(shown) * TILE, shown.div_ceil(COLUMNS) * TILE);
    let states =
        [CpuState::Panicked, CpuState::Kernel, CpuState::User, CpuState::Idle, CpuState::Unknown];
    let count = |state: CpuState| cpus.iter().filter(|cpu| cpu.state == state).count();
    html! {
        @if shown > 2 {
            svg role="img" aria-label="What each CPU did" width=(width) height=(height)
                viewBox={ "0 0 " (width) " " (height) } {
                @for (index, cpu) in cpus.iter().take(MAX_TILES).enumerate() {
                    (tile(cpu, index % COLUMNS * TILE, index / COLUMNS * TILE))
                }
            }
            p.faint {
                @for state in states.into_iter().filter(|state| count(*state) > 0) {
                    span class={ "key " (class(state)) } {}
                    (count(state)) " " (lines::state(state)) " \u{a0} "
                }
            }
        }
    }
}

/// A CPU's tile at a position.
fn tile(cpu: &Cpu, x: usize, y: usize) -> Markup {
    let task = cpu.task.as_ref().map(|task| format!(", {}", lines::task(task)));
    html! {
        g {
            title {
                (lines::cpu(cpu)) ": " (lines::state(cpu.state))
                (GuestText(task.unwrap_or_default()))
            }
            rect class=(class(cpu.state)) x=(x + 2) y=(y + 2) width="40" height="40" rx="4" {}
            text x=(x + 22) y=(y + 27) text-anchor="middle" font-size="14" fill="#fff" {
                @match cpu.cpu {
                    Some(number) => (number),
                    None => (cpu.vcpu),
                }
            }
        }
    }
}

/// A bar of the memory's parts, and a table of them.
pub(super) fn memory(memory: &Memory) -> Markup {
    let total = memory.total_bytes.max(1);
    let mut x = 0;
    let parts = memory.parts.iter().zip(COLOURS.iter().cycle());
    let bars = parts.clone().map(|(part, colour)| {
        let (start, width) = (x, bar_width(part.bytes, total).min(BAR - x));
        x += width;
        (part, colour, start, width)
    });
    html! {
        svg role="img" aria-label="What the memory was used for" width=(BAR) height="28"
            viewBox={ "0 0 " (BAR) " 28" } preserveAspectRatio="none" {
            @for (part, colour, start, width) in bars {
                g {
                    title { (GuestText(&part.name)) ": " (bytes(part.bytes)) }
                    rect x=(start) y="0" width=(width) height="28" fill=(colour) {}
                }
            }
        }
        table {
            @for (part, colour) in parts {
                tr {
                    td {
                        span.key style={ "background:" (colour) } {}
                        (GuestText(&part.name))
                    }
                    td.number { (bytes(part.bytes)) }
                    td.number { (percent(part.bytes, total)) }
                }
            }
            tr {
                th { "in all" }
                td.number { (bytes(memory.total_bytes)) }
                td { (lines::available(memory).trim_start_matches(", ")) }
            }
        }
    }
}

/// How wide the bar is.
const BAR: u64 = 1000;

/// A part's width. The numbers may be a hostile guest's, so the product is taken in 128 bits.
fn bar_width(part: u64, total: u64) -> u64 {
    let width = u128::from(part) * u128::from(BAR) / u128::from(total);
    u64::try_from(width).unwrap_or(BAR)
}
