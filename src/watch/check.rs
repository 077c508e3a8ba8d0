//! What a configuration means for the guests that are there now.
//!
//! Each monitor is asked for the guest's name and state, for a short time, and let go.

use std::path::Path;
use std::time::Duration;

use super::config::{Config, OnCrash, PathPattern, Policy};
use super::guest::Guest;
use crate::monitor::libvirt::{self, Access, Address};
use crate::monitor::qmp::Client;
use crate::monitor::{Monitor, MonitorError, WaitLimits};

/// How long one monitor may be silent.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A guest that would be watched.
#[derive(Clone, Debug)]
pub struct CheckedGuest {
    /// Its name.
    pub name: Option<String>,
    /// The path of its socket, or its domain.
    pub monitor: String,
    /// Its run state, or why it is not seen.
    pub state: String,
    /// How often it is asked, if its connection is not kept.
    pub poll: Option<Duration>,
    /// What would be done with it.
    pub policy: Policy,
}

/// The guests that a watcher of this configuration would find now. Without an answer of libvirt,
/// the second value says why.
pub fn guests(config: &Config, libvirt: Option<&Address>) -> (Vec<CheckedGuest>, Option<String>) {
    let domains = libvirt.map_or(Ok(Vec::new()), |address| by_libvirt(config, address));
    let (mut found, problem) = match domains {
        Ok(domains) => (domains, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    for sockets in &config.sockets {
        for path in sockets.paths.iter().flat_map(PathPattern::paths) {
            let Some(text) = path.to_str() else { continue };
            if found.iter().all(|guest| guest.monitor != text) {
                found.push(by_socket(config, text, sockets.poll));
            }
        }
    }
    (found, problem)
}

fn by_libvirt(config: &Config, address: &Address) -> Result<Vec<CheckedGuest>, MonitorError> {
    let limits = WaitLimits { timeout: TIMEOUT, until: None, interrupt: None };
    let mut client = libvirt::Client::connect(address, Access::ReadOnly, &limits)?;
    let mut found = Vec::new();
    for domain in client.active_domains(&limits)? {
        let xml = client.inactive_xml(&domain, &limits)?;
        let guest = Guest {
            key: format!("libvirt:{}", domain.uuid),
            name: Some(domain.name.clone()),
            uuid: Some(domain.uuid.to_string()),
            on_crash: Some(OnCrash::from_name(Some(xml.action_at_crash()))),
            incarnation: String::new(),
        };
        let state = match client.state(&domain, &limits)? {
            state if xml.panic_models.is_empty() => format!("{state}, no panic device"),
            state => state.to_string(),
        };
        let policy = config.policy(&guest.names()).resolved(guest.on_crash);
        let (name, monitor) = (guest.name, guest.key);
        found.push(CheckedGuest { name, monitor, state, poll: None, policy });
    }
    Ok(found)
}

fn by_socket(config: &Config, path: &str, poll: Option<Duration>) -> CheckedGuest {
    let (name, state) = match ask(path) {
        Ok((name, state)) => (name, state),
        Err(error) => (None, error.to_string()),
    };
    let guest = Guest {
        key: path.to_owned(),
        name,
        uuid: None,
        on_crash: None,
        incarnation: String::new(),
    };
    let policy = config.policy(&guest.names()).resolved(guest.on_crash);
    CheckedGuest { name: guest.name, monitor: guest.key, state, poll, policy }
}

fn ask(path: &str) -> Result<(Option<String>, String), MonitorError> {
    let limits = WaitLimits { timeout: TIMEOUT, until: None, interrupt: None };
    let mut client = Client::connect(Path::new(path), &limits)?;
    Ok((client.guest_name(&limits)?, client.run_state(&limits)?.status))
}
