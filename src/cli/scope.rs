//! Where guests are looked for: `--connect`, and the patterns of QMP sockets.

use std::path::PathBuf;
use std::time::Duration;

use super::exit::UsageError;
use super::guest;
use crate::doctor::{DEFAULT_PATTERNS, GuestRef, Scope};
use crate::monitor::libvirt::{Address, Environment};
use crate::units::parse::positive_duration;

/// The options of commands that look at guests.
#[derive(Debug, clap::Args)]
pub(super) struct ScopeArgs {
    /// URI of libvirt, as virsh takes it
    #[arg(long, value_name = "URI")]
    connect: Option<String>,
    /// Path of QMP sockets, in which * matches any text; may be given several times
    /// [default: /run/vmcorectl/*.qmp and where Proxmox VE, Incus and Kata have theirs]
    #[arg(long, value_name = "PATTERN")]
    sockets: Vec<String>,
    /// How long a guest's monitor may take
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "2s")]
    timeout: Duration,
}

impl ScopeArgs {
    /// Where to look.
    pub(super) fn scope(&self) -> Result<Scope, UsageError> {
        let libvirt = Address::new(self.connect.as_deref(), &environment());
        let libvirt = match libvirt {
            Ok(address) => Some(address),
            // Without a session there is no libvirt, unless it was asked for.
            Err(_) if self.connect.is_none() => None,
            Err(error) => {
                let hint = Some(error.hint().to_owned());
                return Err(UsageError { message: error.to_string(), hint });
            }
        };
        let patterns = match self.sockets.as_slice() {
            [] => DEFAULT_PATTERNS.map(str::to_owned).to_vec(),
            given => given.to_vec(),
        };
        Ok(Scope { libvirt, patterns, timeout: self.timeout })
    }
}

/// The guest that was typed.
pub(super) fn guest_ref(guest: &str) -> Result<GuestRef, UsageError> {
    match guest.strip_prefix("libvirt:") {
        Some(name) => Ok(GuestRef::Domain(name.to_owned())),
        None => guest::socket(guest).map(GuestRef::Socket),
    }
}

fn environment() -> Environment {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = || Some(PathBuf::from(variable("HOME")?).join(".cache"));
    Environment {
        default_uri: variable("LIBVIRT_DEFAULT_URI").and_then(|uri| uri.into_string().ok()),
        runtime_folder: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
        cache_folder: variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(cache),
        is_root: rustix::process::geteuid().is_root(),
    }
}
