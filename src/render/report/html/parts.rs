//! The parts of a report's page.

use maud::{Markup, html};

use super::super::lines;
use super::guest_text::GuestText;
use super::pictures::class;
use crate::render::crash_title::crash_title;
use crate::triage::report::data::{Cpu, CpuState, Report, Stack};
use crate::units::bytes;

/// How many registers are in a row.
const REGISTERS: usize = 4;

/// A CPU: its state, its stack and its registers. Open if it panicked.
pub(super) fn cpu(cpu: &Cpu) -> Markup {
    html! {
        details.stack open[cpu.state == CpuState::Panicked] {
            summary {
                b { (lines::cpu(cpu)) }
                " "
                span class={ "tag " (class(cpu.state)) } { (lines::state(cpu.state)) }
                " "
                @if let Some(task) = &cpu.task { (GuestText(lines::task(task))) }
            }
            (stack(&cpu.stack))
            @if !cpu.registers.is_empty() {
                div.scroll {
                    table.mono.faint {
                        @for row in cpu.registers.chunks(REGISTERS) {
                            tr {
                                @for register in row {
                                    td { (GuestText(&register.name)) }
                                    td.number { (GuestText(&register.value)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn stack(stack: &Stack) -> Markup {
    html! {
        @if !stack.frames.is_empty() || stack.end.is_some() {
            div.scroll {
                table.mono {
                    @for (number, frame) in stack.frames.iter().enumerate() {
                        @if let Some(entry) = &frame.entry { (remark(entry)) }
                        tr {
                            td.number.faint { (number) }
                            td { (GuestText(lines::function(frame))) }
                            td.faint { (GuestText(&frame.trust)) }
                            td.faint { (GuestText(&frame.address)) }
                        }
                    }
                    @if let Some(end) = &stack.end { (remark(end)) }
                }
            }
        }
    }
}

/// A line of a stack that is no frame.
fn remark(text: &str) -> Markup {
    html! { tr { td {} td.faint colspan="3" { (GuestText(text)) } } }
}

/// The bugcheck of a guest that is not Linux.
pub(super) fn bugcheck(report: &Report) -> Markup {
    html! {
        @if let Some(bugcheck) = &report.bugcheck {
            h2 {
                "Bugcheck " (GuestText(&bugcheck.code)) " "
                (GuestText(bugcheck.name.as_deref().unwrap_or("an unknown code")))
            }
            table.mono {
                @for (index, parameter) in bugcheck.parameters.iter().enumerate() {
                    tr {
                        td { "P" (index + 1) }
                        td.number { (GuestText(&parameter.value)) }
                        td { (GuestText(parameter.meaning.as_deref().unwrap_or_default())) }
                    }
                }
            }
        }
    }
}

/// The evidence for the title, and the other events of the log.
pub(super) fn event(report: &Report) -> Markup {
    html! {
        @if let Some(event) = report.event.as_ref().filter(|event| !event.evidence.is_empty()) {
            h2 { "Why this title" }
            details.evidence {
                summary { (GuestText(&event.why)) }
                ul.mono {
                    @for line in &event.evidence { li { (GuestText(line)) } }
                }
            }
        }
        @if !report.other_events.is_empty() {
            h2 { "Other events in the log" }
            table {
                @for event in &report.other_events {
                    tr {
                        td.number.mono { (lines::since_boot(event.time_ns)) }
                        td { (GuestText(&crash_title(&event.title))) }
                        td.mono.faint {
                            (GuestText(event.signature.as_deref().unwrap_or_default()))
                        }
                    }
                }
            }
        }
    }
}

/// The log, which can be searched.
pub(super) fn log(report: &Report) -> Markup {
    let left_out = report.log.records.saturating_sub(report.log.last.len());
    html! {
        @if !report.log.last.is_empty() {
            h2 #the-log {
                "Log"
                @if left_out > 0 {
                    " " span.faint { "without the first " (left_out) " records" }
                }
            }
            div.search {
                input #words type="search" placeholder="Search the log"
                    aria-label="Search the log" autocomplete="off";
                select #level aria-label="Level" {
                    option value="7" { "all levels" }
                    option value="4" { "warnings and worse" }
                    option value="3" { "errors and worse" }
                }
                span #count.faint {}
            }
            pre #log {
                @for record in &report.log.last {
                    div data-level=(record.level) {
                        span.faint { "[" (lines::time(record)) "] " }
                        span.bad[record.level <= 3] { (GuestText(&record.text)) }
                    }
                }
            }
        }
    }
}

/// The tasks, counted, and those that were blocked.
pub(super) fn tasks(report: &Report) -> Markup {
    html! {
        @if let Some(tasks) = &report.tasks {
            h2 { "Tasks" }
            p { (GuestText(lines::task_counts(tasks))) }
        }
        @for group in &report.blocked {
            @let names: Vec<_> = group.tasks.iter().map(lines::task).collect();
            @let more = group.count.saturating_sub(names.len());
            details.stack {
                summary {
                    b { (group.count) " blocked" } " " (GuestText(names.join(", ")))
                    @if more > 0 { " and " (more) " more" }
                }
                (stack(&group.stack))
            }
        }
    }
}

/// The modules.
pub(super) fn modules(report: &Report) -> Markup {
    html! {
        @if !report.modules.is_empty() {
            h2 { "Modules" }
            details {
                summary { (report.modules.len()) " modules" }
                div.scroll {
                    table.mono {
                        tr {
                            th { "name" }
                            th { "address" }
                            th.number { "size" }
                            th { "taints" }
                            th { "used by" }
                        }
                        @for module in &report.modules {
                            tr {
                                td { (GuestText(&module.name)) }
                                td { (GuestText(module.address.as_deref().unwrap_or("-"))) }
                                td.number { (module.size.map_or_else(|| "-".to_owned(), bytes)) }
                                td { (GuestText(module.taints.as_deref().unwrap_or("-"))) }
                                td { (GuestText(lines::users(module))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The mounted file systems.
pub(super) fn mounts(report: &Report) -> Markup {
    html! {
        @if !report.mounts.is_empty() {
            h2 { "Mounted file systems" }
            details {
                summary { (report.mounts.len()) " mounts" }
                div.scroll {
                    table.mono {
                        tr {
                            th { "on" }
                            th { "device" }
                            th { "type" }
                            th { "options" }
                            th.number { "use" }
                        }
                        @for mount in &report.mounts {
                            tr {
                                td { (GuestText(lines::mount_point(mount))) }
                                td { (GuestText(&mount.device)) }
                                td { (GuestText(&mount.r#type)) }
                                td { (GuestText(mount.options.join(", "))) }
                                td.number { (lines::used(mount)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The kernel and the machine, in full.
pub(super) fn machine(report: &Report) -> Markup {
    let (kernel, machine) = (&report.kernel, &report.machine);
    let rows = [
        ("Version", kernel.version.as_ref()),
        ("Build id", kernel.build_id.as_ref()),
        ("Command line", kernel.command_line.as_ref()),
        ("Hardware", machine.hardware.as_ref()),
        ("Noticed", machine.noticed.as_ref()),
        ("Core", Some(&machine.core_format)),
    ];
    html! {
        h2 { "Kernel and machine" }
        dl {
            @for (name, value) in rows {
                @if let Some(value) = value {
                    dt { (name) }
                    dd.mono { (GuestText(value)) }
                }
            }
        }
    }
}

/// What is missing, damaged or doubtful.
pub(super) fn findings(report: &Report) -> Markup {
    html! {
        @if !report.findings.is_empty() {
            h2 #findings { "Findings" }
            table {
                @for finding in &report.findings {
                    tr {
                        td.faint { (GuestText(&finding.about)) }
                        td { (GuestText(&finding.text)) }
                        td.faint { (lines::trust(finding.trust)) }
                    }
                }
            }
        }
    }
}
