//! What is worth knowing about a guest, beside its memory, for its metadata.
//!
//! What a QEMU does not report stays unknown.

use std::ffi::CStr;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::metadata::{Guest, Host, Metadata, Request};
use crate::monitor::qmp::{Client, CrashInformation, Patience, QmpError};

/// The metadata of a guest that was not asked anything yet.
pub(crate) fn metadata_of_guest(monitor: &Path, request: Request, started: Timestamp) -> Metadata {
    let system = rustix::system::uname();
    let text = |name: &CStr| name.to_str().ok().map(str::to_owned);
    let monitor = std::path::absolute(monitor).unwrap_or_else(|_| monitor.to_owned());
    Metadata {
        host: Host {
            name: text(system.nodename()),
            kernel: text(system.release()),
            architecture: text(system.machine()),
        },
        guest: Guest { monitor: monitor.display().to_string(), ..Guest::default() },
        ..Metadata::new(request, started)
    }
}

/// Asks everything of a guest that is not captured.
pub(crate) fn ask_all(
    client: &mut Client,
    metadata: &mut Metadata,
    patience: &Patience<'_>,
) -> Result<(), QmpError> {
    ask_first(client, metadata, patience)?;
    ask_rest(client, metadata, patience)
}

/// Asks what the store and the forecast need.
pub(crate) fn ask_first(
    client: &mut Client,
    metadata: &mut Metadata,
    patience: &Patience<'_>,
) -> Result<(), QmpError> {
    metadata.guest.name = client.guest_name(patience)?;
    let size = client.memory_size(patience)?;
    metadata.guest.memory_bytes = size.map(|size| size.base.saturating_add(size.plugged));
    Ok(())
}

/// Asks the rest.
pub(crate) fn ask_rest(
    client: &mut Client,
    metadata: &mut Metadata,
    patience: &Patience<'_>,
) -> Result<(), QmpError> {
    let guest = &mut metadata.guest;
    guest.uuid = client.guest_uuid(patience)?;
    let machine = json!({ "path": "/machine", "property": "type" });
    let machine = client.ask("qom-get", machine, patience)?;
    guest.machine = machine
        .as_ref()
        .and_then(Value::as_str)
        .map(|name| name.strip_suffix("-machine").unwrap_or(name).to_owned());
    let mut ask = |command, key| -> Result<Option<Value>, QmpError> {
        let answer = client.ask(command, json!({}), patience)?;
        Ok(answer.and_then(|mut answer| Some(answer.get_mut(key)?.take())))
    };
    guest.architecture = ask("query-target", "arch")?.and_then(text);
    let kvm = ask("query-kvm", "enabled")?.and_then(|enabled| enabled.as_bool());
    guest.accelerator = kvm.map(|kvm| if kvm { "kvm" } else { "other" }.to_owned());
    guest.dump_formats = ask("query-dump-guest-memory-capability", "formats")?.and_then(texts);
    guest.migration_blocked =
        ask("query-migrate", "blocked-reasons")?.and_then(texts).map(|reasons| {
            // QEMU forbids migration for the time of a dump: that is us.
            reasons.into_iter().filter(|reason| !reason.contains("dump-guest-memory")).collect()
        });
    guest.memory_encrypted = ask("query-sev", "enabled")?.and_then(|enabled| enabled.as_bool());
    ask_cpus(client, metadata, patience)
}

/// Asks each vCPU what it knows of the crash. Only QEMU's event tells more.
pub(crate) fn ask_cpus(
    client: &mut Client,
    metadata: &mut Metadata,
    patience: &Patience<'_>,
) -> Result<(), QmpError> {
    let cpus = client.cpus(patience)?;
    metadata.guest.cpus = cpus.as_ref().map(Vec::len);
    if metadata.panic.is_none() {
        return Ok(());
    }
    let mut reporting = None;
    let mut info = None;
    for cpu in cpus.unwrap_or_default() {
        match client.crash_information(&cpu, patience)? {
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

fn text(value: Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: Value) -> Option<Vec<String>> {
    Some(value.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}
