//! What libvirt reports of a domain, over a connection that may only read.

use std::collections::BTreeMap;

use super::Scope;
use super::ask_socket::with_cause;
use super::facts::{GuestFacts, MonitorState, Trouble};
use crate::monitor::libvirt::{Access, Client};
use crate::monitor::qemu_process::used_memory;
use crate::monitor::{Answer, MonitorError};

/// The names of the domains that run or are held. None without a libvirt.
pub(super) fn names(scope: &Scope) -> Result<Vec<String>, MonitorError> {
    let limits = scope.limits();
    let Some(address) = &scope.libvirt else { return Ok(Vec::new()) };
    let mut client = match Client::connect(address, Access::ReadOnly, &limits) {
        // A host without libvirt is no host with a trouble.
        Err(MonitorError::Connect { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(Vec::new());
        }
        other => other?,
    };
    let domains = client.active_domains(&limits)?;
    Ok(domains.into_iter().map(|domain| domain.name).collect())
}

/// Asks libvirt for a domain by its name or UUID.
///
/// `processes` are those of QEMU, by the UUIDs of their guests.
pub(super) fn ask(
    mut facts: GuestFacts,
    name: &str,
    scope: &Scope,
    processes: &BTreeMap<String, i32>,
) -> GuestFacts {
    if let Err(error) = ask_libvirt(&mut facts, name, scope, processes) {
        if matches!(error, MonitorError::Connect { .. }) {
            facts.monitor = MonitorState::Unreachable;
        }
        let hint = error.hint().map(str::to_owned);
        facts.trouble = Some(Trouble { text: with_cause(&error), hint });
    }
    facts
}

fn ask_libvirt(
    facts: &mut GuestFacts,
    name: &str,
    scope: &Scope,
    processes: &BTreeMap<String, i32>,
) -> Answer<()> {
    let limits = scope.limits();
    let Some(address) = &scope.libvirt else { return Ok(()) };
    let mut client = Client::connect(address, Access::ReadOnly, &limits)?;
    facts.monitor = MonitorState::Libvirt;
    facts.libvirt_version = Some(client.version().to_string());
    let domain = client.lookup(name, &limits)?;
    let state = client.state(&domain, &limits)?;
    facts.state = Some(state.to_string());
    facts.panicked = Some(state.is_panicked());
    facts.running = Some(state.is_running());
    facts.ran_after_panic = Some(state.runs_after_crash());
    facts.name = Some(domain.name.clone());
    facts.uuid = Some(domain.uuid.to_string());
    let xml = client.xml(&domain, &limits)?;
    facts.at_panic = Some(xml.action_at_crash().to_owned());
    facts.held_at_panic = Some(xml.preserves());
    facts.panic_devices = Some(xml.panic_models);
    facts.vmcoreinfo = Some(xml.vmcoreinfo);
    facts.memory_encrypted = Some(xml.launch_security.is_some());
    facts.memory_bytes = xml.memory_bytes;
    facts.architecture = xml.architecture;
    facts.process = facts.uuid.as_ref().and_then(|uuid| processes.get(uuid).copied());
    facts.used_bytes = facts.process.and_then(used_memory);
    Ok(())
}
