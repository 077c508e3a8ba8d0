//! What is worth knowing about a guest, beside its memory, for its metadata.
//!
//! What a QEMU does not report stays unknown.

use jiff::Timestamp;
use serde_json::Value;

use crate::metadata::{Guest, Host, Libvirt, Metadata, Request};
use crate::monitor::{CrashInformation, Monitor, MonitorError, Target, WaitLimits};

/// The metadata of a guest that was not asked anything yet.
pub(crate) fn metadata_of_guest(
    monitor: &Target,
    request: Request,
    started: Timestamp,
) -> Metadata {
    Metadata {
        host: Host::this(),
        guest: Guest { monitor: monitor.label().display().to_string(), ..Guest::default() },
        ..Metadata::new(request, started)
    }
}

/// Records who answers for the guest.
pub(crate) fn note_manager(monitor: &dyn Monitor, metadata: &mut Metadata) {
    metadata.guest.qemu_version = monitor.version().map(|version| version.to_string());
    metadata.guest.libvirt = monitor.libvirt().map(|facts| Libvirt {
        uri: facts.uri,
        version: facts.version.to_string(),
        on_crash: facts.on_crash,
    });
}

/// Asks everything of a guest that is not captured.
pub(crate) fn ask_all(
    monitor: &mut dyn Monitor,
    metadata: &mut Metadata,
    limits: &WaitLimits<'_>,
) -> Result<(), MonitorError> {
    ask_first(monitor, metadata, limits)?;
    ask_rest(monitor, metadata, limits)
}

/// Asks what the store and the forecast need.
pub(crate) fn ask_first(
    monitor: &mut dyn Monitor,
    metadata: &mut Metadata,
    limits: &WaitLimits<'_>,
) -> Result<(), MonitorError> {
    metadata.guest.name = monitor.guest_name(limits)?;
    let size = monitor.memory_size(limits)?;
    metadata.guest.memory_bytes = size.map(|size| size.base.saturating_add(size.plugged));
    Ok(())
}

/// Asks the rest.
pub(crate) fn ask_rest(
    monitor: &mut dyn Monitor,
    metadata: &mut Metadata,
    limits: &WaitLimits<'_>,
) -> Result<(), MonitorError> {
    let guest = &mut metadata.guest;
    guest.uuid = monitor.guest_uuid(limits)?;
    guest.machine = monitor.machine(limits)?;
    guest.architecture = monitor.architecture(limits)?;
    let kvm = monitor.uses_kvm(limits)?;
    guest.accelerator = kvm.map(|kvm| if kvm { "kvm" } else { "other" }.to_owned());
    guest.dump_formats = monitor.dump_formats(limits)?;
    guest.migration_blocked = monitor.migration_blockers(limits)?.map(|reasons| {
        // QEMU forbids migration for the time of a dump: that is us.
        reasons.into_iter().filter(|reason| !reason.contains("dump-guest-memory")).collect()
    });
    guest.memory_encrypted = monitor.memory_encrypted(limits)?;
    ask_cpus(monitor, metadata, limits)
}

/// Asks each vCPU what it knows of the crash. Only QEMU's event tells more.
pub(crate) fn ask_cpus(
    monitor: &mut dyn Monitor,
    metadata: &mut Metadata,
    limits: &WaitLimits<'_>,
) -> Result<(), MonitorError> {
    let cpus = monitor.cpus(limits)?;
    metadata.guest.cpus = cpus.as_ref().map(Vec::len);
    if metadata.panic.is_none() {
        return Ok(());
    }
    let mut reporting = None;
    let mut info = None;
    for cpu in cpus.unwrap_or_default() {
        match monitor.crash_information(&cpu, limits)? {
            CrashInformation::Details(details) => {
                reporting.get_or_insert_with(Vec::new).push(cpu.index);
                info.get_or_insert(details);
            }
            CrashInformation::Reported => reporting.get_or_insert_with(Vec::new).push(cpu.index),
            CrashInformation::NotHere => {
                reporting.get_or_insert_with(Vec::new);
            }
            // An architecture without the property has it on no vCPU.
            CrashInformation::Unknown => break,
        }
    }
    if let Some(panic) = &mut metadata.panic {
        panic.reporting_cpus = reporting;
        panic.info = panic.info.take().or(info.filter(Value::is_object));
    }
    Ok(())
}
