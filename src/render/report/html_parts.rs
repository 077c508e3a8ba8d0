//! The parts of a report's page.

use std::fmt::Write;

use super::html::escape;
use super::html_pictures::class;
use super::lines;
use crate::triage::report::data::{Cpu, CpuState, Report, Stack};
use crate::units::bytes;

/// How many registers are in a row.
const REGISTERS: usize = 4;

/// A CPU: its state, its stack and its registers. Open if it panicked.
pub(super) fn cpu(cpu: &Cpu, out: &mut String) {
    let open = if cpu.state == CpuState::Panicked { " open" } else { "" };
    let task = cpu.task.as_ref().map(lines::task).unwrap_or_default();
    let _ = writeln!(
        out,
        "<details class=\"stack\"{open}><summary><b>{}</b> <span class=\"tag {}\">{}</span> {}</summary>",
        escape(&lines::cpu(cpu)),
        class(cpu.state),
        lines::state(cpu.state),
        escape(&task),
    );
    stack(&cpu.stack, out);
    if !cpu.registers.is_empty() {
        out.push_str("<div class=\"scroll\"><table class=\"mono faint\">\n");
        for row in cpu.registers.chunks(REGISTERS) {
            out.push_str("<tr>");
            for register in row {
                let (name, value) = (escape(&register.name), escape(&register.value));
                let _ = write!(out, "<td>{name}</td><td class=\"number\">{value}</td>");
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</table></div>\n");
    }
    out.push_str("</details>\n");
}

fn stack(stack: &Stack, out: &mut String) {
    if stack.frames.is_empty() && stack.end.is_none() {
        return;
    }
    out.push_str("<div class=\"scroll\"><table class=\"mono\">\n");
    for (number, frame) in stack.frames.iter().enumerate() {
        if let Some(entry) = &frame.entry {
            let entry = escape(entry);
            let _ =
                writeln!(out, "<tr><td></td><td colspan=\"3\" class=\"faint\">{entry}</td></tr>");
        }
        let _ = writeln!(
            out,
            "<tr><td class=\"number faint\">{number}</td><td>{}</td><td class=\"faint\">{}</td>\
             <td class=\"faint\">{}</td></tr>",
            escape(&lines::function(frame)),
            escape(&frame.trust),
            escape(&frame.address),
        );
    }
    if let Some(end) = &stack.end {
        let _ = writeln!(
            out,
            "<tr><td></td><td colspan=\"3\" class=\"faint\">{}</td></tr>",
            escape(end)
        );
    }
    out.push_str("</table></div>\n");
}

/// What a guest that is no Linux said.
pub(super) fn bugcheck(report: &Report, out: &mut String) {
    let Some(bugcheck) = &report.bugcheck else { return };
    let name = bugcheck.name.as_deref().unwrap_or("a code that is not well known");
    let _ = writeln!(
        out,
        "<h2>Bugcheck {} {}</h2>\n<table class=\"mono\">",
        escape(&bugcheck.code),
        escape(name)
    );
    for (index, parameter) in bugcheck.parameters.iter().enumerate() {
        let meaning = parameter.meaning.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "<tr><td>P{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
            index + 1,
            escape(&parameter.value),
            escape(meaning)
        );
    }
    out.push_str("</table>\n");
}

/// What made the title, and what else is in the log.
pub(super) fn event(report: &Report, out: &mut String) {
    if let Some(event) = report.event.as_ref().filter(|event| !event.evidence.is_empty()) {
        out.push_str("<h2>Why this title</h2>\n<details class=\"evidence\"><summary>");
        let _ = writeln!(out, "{}</summary>\n<ul class=\"mono\">", escape(&event.why));
        for line in &event.evidence {
            let _ = writeln!(out, "<li>{}</li>", escape(line));
        }
        out.push_str("</ul></details>\n");
    }
    if report.other_events.is_empty() {
        return;
    }
    out.push_str("<h2>Other events in the log</h2>\n<table>\n");
    for event in &report.other_events {
        let _ = writeln!(
            out,
            "<tr><td class=\"number mono\">{}</td><td>{}</td><td class=\"mono faint\">{}</td></tr>",
            lines::since_boot(event.time_ns),
            escape(&event.title),
            escape(event.signature.as_deref().unwrap_or_default()),
        );
    }
    out.push_str("</table>\n");
}

/// The log, which can be searched.
pub(super) fn log(report: &Report, out: &mut String) {
    if report.log.last.is_empty() {
        return;
    }
    let left_out = report.log.records.saturating_sub(report.log.last.len());
    let left_out = match left_out {
        0 => String::new(),
        count => format!(" <span class=\"faint\">without the first {count} records</span>"),
    };
    let _ = writeln!(
        out,
        "<h2 id=\"the-log\">Log{left_out}</h2>\n<div class=\"search\">\
         <input id=\"words\" type=\"search\" placeholder=\"Search the log\" aria-label=\"Search the log\" autocomplete=\"off\">\
         <select id=\"level\" aria-label=\"Level\"><option value=\"7\">all levels</option>\
         <option value=\"4\">warnings and graver</option><option value=\"3\">errors and graver</option></select>\
         <span id=\"count\" class=\"faint\"></span></div>\n<pre id=\"log\">"
    );
    for record in &report.log.last {
        let bad = if record.level <= 3 { " class=\"bad\"" } else { "" };
        let _ = write!(
            out,
            "<div data-level=\"{}\"><span class=\"faint\">[{}] </span><span{bad}>{}</span></div>",
            record.level,
            lines::time(record),
            escape(&record.text)
        );
    }
    out.push_str("</pre>\n");
}

/// The tasks, counted, and those that were blocked.
pub(super) fn tasks(report: &Report, out: &mut String) {
    if let Some(tasks) = &report.tasks {
        let states: Vec<_> =
            tasks.states.iter().map(|state| format!("{} {}", state.count, state.state)).collect();
        let _ = writeln!(
            out,
            "<h2>Tasks</h2>\n<p>{} processes and {} kernel threads, {} threads in all: {}</p>",
            tasks.processes,
            tasks.kernel_threads,
            tasks.threads,
            escape(&states.join(", "))
        );
    }
    for group in &report.blocked {
        let names: Vec<_> = group.tasks.iter().map(lines::task).collect();
        let more = group.count.saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(
            out,
            "<details class=\"stack\"><summary><b>{} blocked</b> {}{more}</summary>",
            group.count,
            escape(&names.join(", "))
        );
        stack(&group.stack, out);
        out.push_str("</details>\n");
    }
}

/// The modules.
pub(super) fn modules(report: &Report, out: &mut String) {
    if report.modules.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h2>Modules</h2>\n<details><summary>{} modules</summary>\n<div class=\"scroll\"><table class=\"mono\">\
         <tr><th>name</th><th>address</th><th class=\"number\">size</th><th>taints</th><th>used by</th></tr>",
        report.modules.len()
    );
    for module in &report.modules {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td><td>{}</td><td>{}</td></tr>",
            escape(&module.name),
            escape(module.address.as_deref().unwrap_or("-")),
            module.size.map_or_else(|| "-".to_owned(), bytes),
            escape(module.taints.as_deref().unwrap_or("-")),
            escape(&module.users.as_ref().map_or_else(|| "-".to_owned(), |users| users.join(", "))),
        );
    }
    out.push_str("</table></div></details>\n");
}

/// The file systems that were mounted.
pub(super) fn mounts(report: &Report, out: &mut String) {
    if report.mounts.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "<h2>Mounted file systems</h2>\n<details><summary>{} mounts</summary>\n<div class=\"scroll\"><table class=\"mono\">\
         <tr><th>on</th><th>device</th><th>type</th><th>options</th><th class=\"number\">use</th></tr>",
        report.mounts.len()
    );
    for mount in &report.mounts {
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"number\">{}</td></tr>",
            escape(lines::mount_point(mount)),
            escape(&mount.device),
            escape(&mount.r#type),
            escape(&mount.options.join(", ")),
            escape(&lines::used(mount)),
        );
    }
    out.push_str("</table></div></details>\n");
}

/// Kernel and machine, in whole.
pub(super) fn machine(report: &Report, out: &mut String) {
    out.push_str("<h2>Kernel and machine</h2>\n<dl>\n");
    let (kernel, machine) = (&report.kernel, &report.machine);
    let rows = [
        ("Version", kernel.version.as_ref()),
        ("Build id", kernel.build_id.as_ref()),
        ("Command line", kernel.command_line.as_ref()),
        ("Hardware", machine.hardware.as_ref()),
        ("Noticed", machine.noticed.as_ref()),
        ("Core", Some(&machine.core_format)),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            let _ = writeln!(out, "<dt>{name}</dt><dd class=\"mono\">{}</dd>", escape(value));
        }
    }
    out.push_str("</dl>\n");
}

/// What is missing, damaged or doubtful.
pub(super) fn findings(report: &Report, out: &mut String) {
    if report.findings.is_empty() {
        return;
    }
    out.push_str("<h2 id=\"findings\">Findings</h2>\n<table>\n");
    for finding in &report.findings {
        let _ = writeln!(
            out,
            "<tr><td class=\"faint\">{}</td><td>{}</td><td class=\"faint\">{}</td></tr>",
            escape(&finding.about),
            escape(&finding.text),
            lines::trust(finding.trust)
        );
    }
    out.push_str("</table>\n");
}
