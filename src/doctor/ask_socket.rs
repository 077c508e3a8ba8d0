//! What a guest's QMP socket tells.

use std::path::Path;

use super::Scope;
use super::facts::{GuestFacts, MonitorState, Trouble};
use super::unix_sockets::UnixSockets;
use crate::monitor::libvirt::owner::refuse_dump;
use crate::monitor::qemu_command_line::QemuCommandLine;
use crate::monitor::qemu_process::used_memory;
use crate::monitor::qmp::Client;
use crate::monitor::{Answer, Monitor, MonitorError, WaitLimits};

/// Asks a guest, if its monitor has no client.
///
/// A monitor serves one client. A second one waits in its queue, unseen, and would be served in
/// place of another when the first one leaves.
pub(super) fn ask(
    mut facts: GuestFacts,
    path: &Path,
    scope: &Scope,
    seen: &UnixSockets,
) -> GuestFacts {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if seen.connected(path) > 0 {
        facts.monitor = MonitorState::Busy { clients: seen.clients(path) };
        ask_system(&mut facts, seen.listener(path));
        return facts;
    }
    let limits = scope.limits();
    let mut process = seen.listener(path);
    let asked = Client::connect(path, &limits).and_then(|mut client| {
        facts.monitor = MonitorState::Free;
        process = client.peer_process().or(process);
        facts.qemu_version = Some(client.version().to_string());
        ask_monitor(&mut facts, &mut client, &limits)
    });
    ask_system(&mut facts, process);
    if facts.libvirt_domain.is_some() {
        let refused = refuse_dump(path, process, || Ok(None), scope.libvirt.as_ref(), &limits);
        facts.dump_refused = Some(refused.is_err());
    }
    if let Err(error) = asked {
        match &error {
            // It came in between, or the system does not show it.
            MonitorError::Silent { .. } => {
                facts.monitor = MonitorState::Busy { clients: Vec::new() };
            }
            MonitorError::Connect { .. } => facts.monitor = MonitorState::Unreachable,
            _ => {}
        }
        let hint = error.hint().map(str::to_owned);
        facts.trouble = Some(Trouble { text: with_cause(&error), hint });
    }
    facts
}

/// The state is asked first: it matters most if there is no time for the rest.
fn ask_monitor(facts: &mut GuestFacts, client: &mut Client, limits: &WaitLimits<'_>) -> Answer<()> {
    let state = client.run_state(limits)?;
    facts.running = Some(state.running);
    facts.panicked = Some(state.is_panicked());
    facts.state = Some(state.status);
    facts.name = client.guest_name(limits)?;
    facts.uuid = client.guest_uuid(limits)?;
    facts.memory_bytes =
        client.memory_size(limits)?.map(|size| size.base.saturating_add(size.plugged));
    facts.architecture = client.architecture(limits)?;
    facts.memory_encrypted = client.memory_encrypted(limits)?;
    if let Some(devices) = client.device_types(limits)? {
        facts.vmcoreinfo = Some(devices.iter().any(|device| device == "vmcoreinfo"));
        let is_panic_device = |device: &String| device.starts_with("pvpanic");
        facts.panic_devices = Some(devices.into_iter().filter(is_panic_device).collect());
    }
    Ok(())
}

/// What the process shows.
fn ask_system(facts: &mut GuestFacts, process: Option<i32>) {
    facts.process = process;
    facts.used_bytes = process.and_then(used_memory);
    if let Some(line) = process.and_then(QemuCommandLine::of_qemu) {
        let action = line.at_panic().to_owned();
        facts.held_at_panic = Some(action == "pause");
        facts.at_panic = Some(action);
        facts.libvirt_domain = line.libvirt_domain();
        facts.name = facts.name.take().or_else(|| line.guest_name());
    }
}

pub(super) fn with_cause(error: &MonitorError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
