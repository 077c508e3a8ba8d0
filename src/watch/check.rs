//! What a configuration means for the guests that are there now.
//!
//! Each monitor is asked for the guest's name and state, for a short time, and let go.

use std::path::Path;
use std::time::Duration;

use super::config::{Config, PathPattern, Policy};
use super::guest::Guest;
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

/// The guests that a watcher of this configuration would find now.
pub fn guests(config: &Config) -> Vec<CheckedGuest> {
    let mut found: Vec<CheckedGuest> = Vec::new();
    for sockets in &config.sockets {
        for path in sockets.paths.iter().flat_map(PathPattern::paths) {
            let Some(text) = path.to_str() else { continue };
            if found.iter().all(|guest| guest.monitor != text) {
                found.push(by_socket(config, text, sockets.poll));
            }
        }
    }
    found
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
