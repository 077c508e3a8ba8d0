//! A kernel's identity, memory, mounts and CPUs, for people and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use crate::kernel::cpus::{Cpus, Mode};
use crate::kernel::identity::Identity;
use crate::kernel::memory_usage::MemoryUsage;
use crate::kernel::mounts::{Mount, Mounts};
use crate::kernel::tasks::Tasks;
use crate::printable::shown;
use crate::units::{bytes, percent};

/// The schema of a kernel as JSON.
pub const SCHEMA: &str = "vmcorectl/kernel/1";

/// A kernel, read from its memory.
#[derive(Debug)]
pub struct KernelParts<'a> {
    /// Its name, start, times and machine.
    pub identity: &'a Identity,
    /// Its memory.
    pub memory: Option<&'a MemoryUsage>,
    /// Its mounts.
    pub mounts: &'a Mounts,
    /// Its CPUs.
    pub cpus: &'a Cpus,
    /// The tasks that run on them.
    pub tasks: &'a Tasks,
}

impl<'a> KernelParts<'a> {
    /// The findings.
    pub fn findings(&self) -> impl Iterator<Item = &'a String> {
        let of_memory = self.memory.map(|memory| &memory.findings);
        let all = [Some(&self.tasks.findings), Some(&self.cpus.findings), of_memory];
        all.into_iter().flatten().chain([&self.mounts.findings]).flatten()
    }
}

/// Prints a kernel.
pub fn text(parts: &KernelParts<'_>, out: &mut dyn Write) -> io::Result<()> {
    let KernelParts { identity, memory, mounts, cpus, tasks } = parts;
    let mut line = |name: &str, text: String| writeln!(out, "  {name:<9} {}", shown(&text));
    if let Some(uname) = &identity.uname {
        let words = [&uname.system, &uname.node, &uname.release, &uname.version, &uname.machine];
        line("uname", words.map(String::as_str).join(" "))?;
    }
    if let Some(command_line) = &identity.command_line {
        line("command", command_line.clone())?;
    }
    if let Some(machine) = &identity.machine {
        let firmware = identity.firmware.as_ref().map(|firmware| format!(", firmware {firmware}"));
        line("machine", format!("{machine}{}", firmware.unwrap_or_default()))?;
    }
    if let Some(times) = identity.times {
        let millis = times.uptime_ns / 1_000_000;
        let (minutes, seconds) = (millis / 60_000, millis / 1000 % 60);
        let mut text =
            format!("{} h {} min {seconds}.{:03} s", minutes / 60, minutes % 60, millis % 1000);
        if let Ok(wall) = jiff::Timestamp::from_nanosecond(times.wall_ns.into()) {
            text = format!("{text}; its clock was at {wall:.3}");
        }
        line("uptime", text)?;
    }
    if let Some([one, five, fifteen]) = identity.load {
        line("load", format!("{one:.2}, {five:.2}, {fifteen:.2}"))?;
    }
    match identity.taint_mask {
        Some(0) => line("taint", "none".to_owned())?,
        Some(mask) => {
            let words: Vec<_> = identity
                .taints
                .iter()
                .map(|taint| format!("{}: {}", taint.letter, taint.meaning))
                .collect();
            line("taint", format!("{mask} ({})", words.join("; ")))?;
        }
        None => {}
    }
    if let Some(memory) = memory {
        let swap = memory.swap.filter(|(total, _)| *total > 0);
        let swap = swap.map_or_else(String::new, |(total, free)| {
            format!(", swap {} of {} free", bytes(free), bytes(total))
        });
        let available = memory.available.map(|left| format!(" ({} available)", bytes(left)));
        let available = available.unwrap_or_default();
        line(
            "memory",
            format!(
                "{} used, {} free{available}, {} buffers and cache, {} shared, of {}{swap}",
                bytes(memory.used()),
                bytes(memory.free),
                bytes(memory.cache),
                memory.shared.map_or_else(|| "-".to_owned(), bytes),
                bytes(memory.total)
            ),
        )?;
    }
    for cpu in &cpus.cpus {
        let task = cpu.current.and_then(|at| tasks.at(at));
        let task = task.map_or_else(
            || "an unknown task".to_owned(),
            |task| format!("{} (pid {})", task.comm, task.pid),
        );
        let panicked = if cpus.panicked == Some(cpu.number) { ", panicked" } else { "" };
        let name = format!("CPU {}", cpu.number);
        line(&name, format!("{}: {task}{panicked}", word(cpu.mode)))?;
    }
    for mount in &mounts.mounts {
        line("mount", mounted(mount))?;
    }
    Ok(())
}

/// A mount in one line.
fn mounted(mount: &Mount) -> String {
    let path = mount.mount_point.as_deref().unwrap_or("(unknown)");
    let used = mount.usage.map(|usage| {
        let (share, left) = (percent(usage.used, usage.total), bytes(usage.available));
        format!(
            "; {} of {} used ({share}), {left} available",
            bytes(usage.used),
            bytes(usage.total)
        )
    });
    format!(
        "{} on {path}, {} ({}){}",
        mount.device,
        mount.kind,
        mount.options.join(", "),
        used.unwrap_or_default()
    )
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::User => "user",
        Mode::Kernel => "kernel",
        Mode::Idle => "idle",
        Mode::Unknown => "unknown",
    }
}

/// A kernel as JSON.
#[derive(Debug, Serialize)]
pub struct KernelJson<'a> {
    schema: &'static str,
    uname: Option<[&'a str; 5]>,
    command_line: Option<&'a str>,
    machine: Option<&'a str>,
    firmware: Option<&'a str>,
    uptime_ns: Option<u64>,
    wall_ns: Option<u64>,
    hz: Option<u64>,
    load: Option<[f64; 3]>,
    taint_mask: Option<u64>,
    taints: Vec<(char, &'static str)>,
    memory: Option<Memory<'a>>,
    panicked_cpu: Option<u32>,
    cpus: Vec<JsonCpu<'a>>,
    mounts: Vec<JsonMount<'a>>,
    findings: Vec<&'a String>,
}

#[derive(Debug, Serialize)]
struct Memory<'a> {
    total: u64,
    used: u64,
    free: u64,
    available: Option<u64>,
    cache: u64,
    shared: Option<u64>,
    swap_total: Option<u64>,
    swap_free: Option<u64>,
    meminfo: &'a [(&'static str, u64)],
}

#[derive(Debug, Serialize)]
struct JsonCpu<'a> {
    cpu: u32,
    vcpu: Option<usize>,
    mode: &'static str,
    pid: Option<i32>,
    comm: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct JsonMount<'a> {
    device: &'a str,
    mount_point: Option<&'a str>,
    r#type: &'a str,
    options: &'a [&'static str],
    total: Option<u64>,
    used: Option<u64>,
    available: Option<u64>,
}

impl<'a> JsonMount<'a> {
    fn new(mount: &'a Mount) -> Self {
        Self {
            device: &mount.device,
            mount_point: mount.mount_point.as_deref(),
            r#type: &mount.kind,
            options: &mount.options,
            total: mount.usage.map(|usage| usage.total),
            used: mount.usage.map(|usage| usage.used),
            available: mount.usage.map(|usage| usage.available),
        }
    }
}

impl<'a> KernelJson<'a> {
    /// The kernel as JSON.
    pub fn new(parts: &KernelParts<'a>) -> Self {
        let KernelParts { identity, memory, mounts, cpus, tasks } = *parts;
        let uname = |uname: &'a crate::kernel::identity::Uname| {
            [uname.system.as_str(), &uname.node, &uname.release, &uname.version, &uname.machine]
        };
        let cpu = |cpu: &crate::kernel::cpus::Cpu| {
            let task = cpu.current.and_then(|at| tasks.at(at));
            JsonCpu {
                cpu: cpu.number,
                vcpu: cpu.vcpu.map(|(vcpu, _)| vcpu),
                mode: word(cpu.mode),
                pid: task.map(|task| task.pid),
                comm: task.map(|task| task.comm.as_str()),
            }
        };
        Self {
            schema: SCHEMA,
            uname: identity.uname.as_ref().map(uname),
            command_line: identity.command_line.as_deref(),
            machine: identity.machine.as_deref(),
            firmware: identity.firmware.as_deref(),
            uptime_ns: identity.times.map(|times| times.uptime_ns),
            wall_ns: identity.times.map(|times| times.wall_ns),
            hz: identity.hz,
            load: identity.load,
            taint_mask: identity.taint_mask,
            taints: identity.taints.iter().map(|taint| (taint.letter, taint.meaning)).collect(),
            memory: memory.map(|memory| Memory {
                total: memory.total,
                used: memory.used(),
                free: memory.free,
                available: memory.available,
                cache: memory.cache,
                shared: memory.shared,
                swap_total: memory.swap.map(|(total, _)| total),
                swap_free: memory.swap.map(|(_, free)| free),
                meminfo: &memory.lines,
            }),
            panicked_cpu: cpus.panicked,
            cpus: cpus.cpus.iter().map(cpu).collect(),
            mounts: mounts.mounts.iter().map(JsonMount::new).collect(),
            findings: parts.findings().collect(),
        }
    }
}
