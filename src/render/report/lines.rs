//! What the text and the page have in common: words, names and rows.

use crate::triage::report::data::{
    Cpu, CpuState, Kernel, Machine, Memory, Module, Mount, Report, ReportedRecord, StackFrame,
    Taint, Task, TaskCounts, TitleSource, Trust,
};
use crate::units::{bytes, percent, span};

/// How sure something is, in words.
pub(super) fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::Certain => "certain",
        Trust::Likely => "likely",
        Trust::Guess => "a guess",
    }
}

/// Where the title is from.
pub(super) fn title_source(source: TitleSource) -> &'static str {
    match source {
        TitleSource::Log => "the kernel's log",
        TitleSource::Stack => "the stack of the task that panicked",
        TitleSource::Hypervisor => "the guest's panic event",
        TitleSource::Cpus => "the stacks of the CPUs",
        TitleSource::Nothing => "no evidence",
    }
}

/// The rows that answer what happened, each with its name.
pub(super) fn answer(report: &Report) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    rows.extend(report.panic_message.clone().map(|message| ("Panic", message)));
    rows.extend(report.function.as_ref().map(|function| {
        let module = report.module.as_ref().map(|module| format!(" [{module}]"));
        ("Function", format!("{function}{}", module.unwrap_or_default()))
    }));
    rows.extend(panicked(report).map(|panicked| ("Where", panicked)));
    rows.push(("Kernel", kernel(&report.kernel)));
    rows.push(("Machine", machine(&report.machine)));
    rows.extend(report.event.as_ref().map(|event| ("Chosen", event.why.clone())));
    rows.extend(report.signature.as_ref().map(|signature| {
        let variant = report.variant.as_ref().map(|variant| format!(", variant {variant}"));
        let weak = if report.weak { ", weak" } else { "" };
        ("Signature", format!("{signature}{}{weak}", variant.unwrap_or_default()))
    }));
    rows
}

/// A task: `sh (pid 71)`.
pub(super) fn task(task: &Task) -> String {
    match (&task.comm, task.pid, &task.address) {
        (Some(comm), Some(pid), _) => format!("{comm} (pid {pid})"),
        (_, _, Some(address)) => format!("the unreadable task at {address}"),
        (_, _, None) => "a task that cannot be read".to_owned(),
    }
}

/// What a CPU was doing, in a word.
pub(super) fn state(state: CpuState) -> &'static str {
    match state {
        CpuState::Panicked => "panicked",
        CpuState::Kernel => "in the kernel",
        CpuState::User => "in a program",
        CpuState::Idle => "idle",
        CpuState::Unknown => "unknown",
    }
}

/// A CPU's name: `CPU 1`, and the vCPU's number if that is another.
pub(super) fn cpu(cpu: &Cpu) -> String {
    match cpu.cpu {
        Some(number) if usize::try_from(number) == Ok(cpu.vcpu) => format!("CPU {number}"),
        Some(number) => format!("CPU {number} (vCPU {})", cpu.vcpu),
        None => format!("vCPU {}", cpu.vcpu),
    }
}

/// The CPU and the task that panicked.
fn panicked(report: &Report) -> Option<String> {
    let panicked = report.panicked.as_ref()?;
    let cpu = match (panicked.cpu, panicked.vcpu) {
        (Some(cpu), _) => format!("CPU {cpu}"),
        (None, Some(vcpu)) => format!("vCPU {vcpu}"),
        (None, None) => "an unknown CPU".to_owned(),
    };
    let all = report.cpus.len().max(report.machine.vcpus);
    let task = panicked.task.as_ref().map(|found| format!(", {}", task(found)));
    Some(format!("{cpu} of {all}{}", task.unwrap_or_default()))
}

/// The kernel in one line.
fn kernel(kernel: &Kernel) -> String {
    let mut text = match &kernel.release {
        Some(release) => format!("Linux {release}"),
        None => "unknown".to_owned(),
    };
    if let Some(seconds) = kernel.uptime_seconds {
        text += &format!(", up {}", span(seconds));
    }
    if let Some(taint) = &kernel.taint {
        text += &format!("; {}", tainted(taint));
    }
    text
}

/// The taint flags.
fn tainted(taint: &Taint) -> String {
    if taint.flags.is_empty() {
        return "not tainted".to_owned();
    }
    let flags = taint.flags.iter().map(|flag| format!("{} ({})", flag.letter, flag.meaning));
    format!("tainted: {}", flags.collect::<Vec<_>>().join(", "))
}

/// The machine in one line.
fn machine(machine: &Machine) -> String {
    let mut parts = Vec::new();
    parts.extend(machine.guest.clone());
    parts.extend(machine.architecture.clone());
    parts.push(match machine.vcpus {
        1 => "1 vCPU".to_owned(),
        vcpus => format!("{vcpus} vCPUs"),
    });
    parts.push(bytes(machine.memory_bytes));
    parts.extend(machine.qemu.as_ref().map(|qemu| match &machine.machine_type {
        Some(kind) => format!("QEMU {qemu} ({kind})"),
        None => format!("QEMU {qemu}"),
    }));
    parts.join(", ")
}

/// How much memory was available, as a part of a sentence.
pub(super) fn available(memory: &Memory) -> String {
    let available = memory.available_bytes.map(|left| format!(", {} available", bytes(left)));
    available.unwrap_or_default()
}

/// Where a file system is mounted.
pub(super) fn mount_point(mount: &Mount) -> &str {
    mount.mount_point.as_deref().unwrap_or("(unknown)")
}

/// A mounted file system: `ext4 on /dev/vda, ro`.
pub(super) fn file_system(mount: &Mount) -> String {
    let writable = mount.options.first().map(|option| format!(", {option}"));
    format!("{} on {}{}", mount.r#type, mount.device, writable.unwrap_or_default())
}

/// How much of a file system was used; empty if that is not known.
pub(super) fn used(mount: &Mount) -> String {
    let used = mount.used_bytes.zip(mount.total_bytes);
    let used = used.map(|(used, total)| {
        format!("{} of {} used, {}", bytes(used), bytes(total), percent(used, total))
    });
    used.unwrap_or_default()
}

/// How many tasks there are, and in which states.
pub(super) fn task_counts(tasks: &TaskCounts) -> String {
    let states = tasks.states.iter().map(|state| format!("{} {}", state.count, state.state));
    format!(
        "{} processes and {} kernel threads, {} threads in all: {}",
        tasks.processes,
        tasks.kernel_threads,
        tasks.threads,
        states.collect::<Vec<_>>().join(", ")
    )
}

/// The modules that use a module.
pub(super) fn users(module: &Module) -> String {
    module.users.as_ref().map_or_else(|| "-".to_owned(), |users| users.join(", "))
}

/// A frame's function, or its address where there is none.
pub(super) fn function(frame: &StackFrame) -> String {
    let function = frame.function.clone().unwrap_or_else(|| frame.address.clone());
    match &frame.module {
        Some(module) => format!("{function} [{module}]"),
        None => function,
    }
}

/// A record's time, as the kernel prints it.
pub(super) fn time(line: &ReportedRecord) -> String {
    let micros = line.time_ns / 1000;
    format!("{:>5}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Seconds since boot.
pub(super) fn since_boot(time_ns: Option<u64>) -> String {
    time_ns.map_or_else(
        || "-".to_owned(),
        |ns| format!("{:.6}", std::time::Duration::from_nanos(ns).as_secs_f64()),
    )
}
