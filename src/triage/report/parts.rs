//! The parts of a report, gathered in order.

use std::thread;

use vmcore_formats::printk::Record;
use vmcore_formats::text;

use super::ReportOptions;
use super::bugcheck::Stop;
use super::data::{self, CpuState, Report, ReportedRecord, TitleSource, Trust};
use super::hypervisor::PanicInfo;
use super::stacks::Room;
use super::{crash, identity, memory, modules, mounts, stacks, tasks};
use crate::kernel::Kernel;
use crate::kernel::backtrace::Backtrace;
use crate::kernel::cpus::Cpus;
use crate::kernel::identity::Identity;
use crate::kernel::log::Log;
use crate::kernel::memory_usage::MemoryUsage;
use crate::kernel::mounts::Mounts;
use crate::metadata::Metadata;
use crate::triage::CoreStacks;
use crate::triage::core_stacks::MAX_CPUS;
use crate::triage::crash::families::Families;
use crate::vmcore::Vmcore;
use crate::vmcore::registers::{Registers, Vcpu};

/// The longest text of a record, in bytes. `PRINTKRB_RECORD_MAX` is 1024.
const MAX_RECORD: usize = 2048;

/// Puts everything that can be read into a report.
pub(super) fn gather(
    report: &mut Report,
    core: &Vmcore,
    metadata: Option<&Metadata>,
    families: &Families,
    options: ReportOptions,
    then: &mut dyn FnMut(&Kernel),
) {
    let vcpus = registers(report, core);
    let info = panic_info(core, metadata);
    if !matches!(info, Some(PanicInfo::Windows(_))) {
        match Kernel::find_in(core, options.search) {
            Ok(kernel) => {
                of_kernel(report, core, &vcpus, &kernel, metadata, families, options.log_lines);
                then(&kernel);
            }
            Err(error) => report.find("kernel", error.to_string(), Trust::Certain),
        }
    }
    hypervisor(report, info);
    if report.title.is_empty() {
        no_evidence(report, metadata);
    }
}

/// Puts the registers into a report, and gives them.
fn registers(report: &mut Report, core: &Vmcore) -> Vec<Vcpu> {
    let Registers { cpus, findings } = Registers::of(core.notes(), core.identity());
    for finding in findings {
        report.find("core", finding, Trust::Certain);
    }
    if let Some(more) = cpus.len().checked_sub(MAX_CPUS).filter(|more| *more > 0) {
        report.find("core", format!("{more} more vCPUs are not listed"), Trust::Certain);
    }
    for cpu in cpus.iter().take(MAX_CPUS) {
        for finding in &cpu.findings {
            report.find("core", format!("vCPU {}: {finding}", cpu.number), Trust::Certain);
        }
        report.cpus.push(data::Cpu {
            vcpu: cpu.number,
            state: if cpu.privilege == Some(3) { CpuState::User } else { CpuState::Unknown },
            registers: stacks::registers(&cpu.general),
            ..data::Cpu::default()
        });
    }
    cpus
}

/// What the kernel's memory has. The log and the tasks are read while the stacks are unwound: each
/// takes its time, and they are in different parts of memory.
fn of_kernel(
    report: &mut Report,
    core: &Vmcore,
    vcpus: &[Vcpu],
    kernel: &Kernel,
    metadata: Option<&Metadata>,
    families: &Families,
    log_lines: usize,
) {
    for origin in kernel.origin().into_iter().chain(kernel.other_tables()) {
        report.find("kernel", origin, Trust::Likely);
    }
    let count = report.cpus.len();
    let (log, stacks) = thread::scope(|scope| {
        let log = scope.spawn(|| {
            let log = Log::read(&kernel.space, &kernel.info);
            let _ = kernel.tasks();
            log
        });
        kernel.fetch_first_variables();
        let stacks: Vec<_> =
            (0..count).map(|vcpu| Backtrace::of_vcpu(kernel, vcpus, vcpu)).collect();
        (log.join(), stacks)
    });
    let identity = Identity::of(kernel);
    report.kernel = identity::of(kernel, &identity);
    report.machine.hardware.clone_from(&identity.machine);
    memory::take(report, MemoryUsage::of(kernel));
    let room = &mut Room::of_stacks();
    for (cpu, backtrace) in report.cpus.iter_mut().zip(&stacks) {
        cpu.stack = stacks::stack(backtrace, room);
    }
    let cpus = Cpus::of(kernel, core);
    tasks::cpus(report, &cpus, kernel.tasks(), metadata);
    match log {
        Ok(Ok(log)) => {
            crash::of_log(report, &log, &CoreStacks::of(&cpus, metadata, &stacks), families);
            take_log(report, log, log_lines);
        }
        Ok(Err(error)) => report.find("log", error.to_string(), Trust::Certain),
        Err(_) => report.find("log", "reading the log failed", Trust::Certain),
    }
    if report.title.is_empty() {
        crash::of_stacks(report, families);
    }
    for finding in stacks.into_iter().flat_map(|backtrace| backtrace.findings) {
        report.find("stacks", finding, Trust::Certain);
    }
    if let Err(error) = kernel.symbols() {
        report.find("symbols", error.to_string(), Trust::Certain);
    }
    if let Err(error) = kernel.types() {
        report.find("types", error.to_string(), Trust::Certain);
    }
    for finding in kernel.types_findings() {
        report.find("types", finding.clone(), Trust::Certain);
    }
    tasks::take(report, kernel, kernel.tasks(), room);
    modules::take(report, kernel.modules());
    mounts::take(report, &Mounts::of(kernel));
    for finding in kernel.ambiguities() {
        report.find("kernel", finding, Trust::Likely);
    }
}

fn take_log(report: &mut Report, log: Log, log_lines: usize) {
    for finding in log.findings {
        report.find("log", finding, Trust::Certain);
    }
    if let Some(last) = log.records.last() {
        // A lower bound, where the kernel's clock cannot be read.
        let at_least = std::time::Duration::from_nanos(last.time_ns).as_secs_f64();
        report.kernel.uptime_seconds.get_or_insert(at_least);
    }
    let line = |record: &Record| ReportedRecord {
        time_ns: record.time_ns,
        level: record.level,
        text: text::lossy(&record.text, MAX_RECORD),
    };
    let skip = log.records.len().saturating_sub(log_lines);
    report.log.records = log.records.len();
    report.log.last = log.records.iter().skip(skip).map(line).collect();
}

/// The bugcheck in a dump's header, or else the information of the panic event.
fn panic_info(core: &Vmcore, metadata: Option<&Metadata>) -> Option<PanicInfo> {
    if let Some(header) = core.windows_header() {
        let (code, parameters) = (header.code.into(), header.parameters);
        return Some(PanicInfo::Windows(Stop { code, parameters }));
    }
    let panic = metadata.and_then(|metadata| metadata.panic.as_ref());
    panic.and_then(|panic| panic.info.as_ref()).and_then(PanicInfo::of)
}

/// The bugcheck of Windows, and a title where the log has no crash.
fn hypervisor(report: &mut Report, info: Option<PanicInfo>) {
    let Some(info) = info else { return };
    if let PanicInfo::Windows(stop) = &info {
        report.bugcheck = Some(stop.explain());
    }
    if !report.title.is_empty() {
        return;
    }
    report.title_source = TitleSource::Hypervisor;
    report.trust = Trust::Likely;
    match info {
        PanicInfo::Windows(stop) => {
            report.title = stop.title();
            report.kind = Some("bugcheck".to_owned());
            report.signature = Some(stop.signature());
            report.trust = Trust::Certain;
            report.find(
                "kernel",
                "this is Windows: the report has its bugcheck and nothing from its memory, which needs WinDbg",
                Trust::Certain,
            );
        }
        PanicInfo::Linux { error, pc } => {
            report.title = format!("guest panicked (no log), error {error:#x}");
            report.find(
                "kernel",
                format!("the program counter of the panic event is {pc:#x}"),
                Trust::Certain,
            );
        }
        PanicInfo::LinuxMessage { at, length } => {
            report.title = "guest panicked (no log)".to_owned();
            report.find(
                "kernel",
                format!(
                    "the panic event has {length} bytes of kernel messages at physical address {at:#x}"
                ),
                Trust::Certain,
            );
        }
        PanicInfo::S390 { reason, psw_addr } => {
            report.title = format!("s390 {}", reason.replace('-', " "));
            if let Some(at) = psw_addr {
                report.find("kernel", format!("the PSW's address is {at:#x}"), Trust::Certain);
            }
        }
        PanicInfo::Confidential { kind, message } => {
            report.title = format!("{kind} guest panicked: {message}");
        }
    }
}

/// The title of a guest without any evidence.
fn no_evidence(report: &mut Report, metadata: Option<&Metadata>) {
    report.title_source = TitleSource::Nothing;
    report.trust = Trust::Guess;
    let panicked = metadata.is_some_and(|metadata| metadata.panic.is_some());
    report.title = match panicked {
        true => "guest panicked (no log)".to_owned(),
        false => "no crash found".to_owned(),
    };
    report.weak = true;
}
