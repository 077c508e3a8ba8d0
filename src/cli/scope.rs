//! Where guests are looked for: `--connect`, the patterns of QMP sockets, and `--config`.

use std::path::PathBuf;
use std::time::Duration;

use super::exit::UsageError;
use super::guest::ConnectArgs;
use super::{guest, watch};
use crate::doctor::{DEFAULT_PATTERNS, GuestRef, Scope};
use crate::units::parse::positive_duration;
use crate::watch::config::{Config, PathPattern};

/// The options of commands that look at guests.
#[derive(Debug, clap::Args)]
pub(super) struct ScopeArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Path of QMP sockets, in which * matches any text; may be given several times
    /// [default: /run/vmcorectl/*.qmp, where Proxmox VE, Incus and Kata have theirs, and those of
    /// the configuration]
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    sockets: Vec<PathPattern>,
    /// Configuration of `watch`, whose sockets and store are looked at, too
    /// [default: /etc/vmcorectl.toml if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long a guest's monitor may take
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "2s")]
    timeout: Duration,
}

impl ScopeArgs {
    /// Where to look.
    pub(super) fn scope(&self) -> Result<Scope, UsageError> {
        // Without a session there is no libvirt, unless it was asked for.
        let libvirt = match self.connect.address() {
            Err(error) if self.connect.is_given() => return Err(error),
            address => address.ok(),
        };
        let mut patterns = self.sockets.clone();
        if patterns.is_empty() {
            patterns.extend(DEFAULT_PATTERNS.iter().filter_map(|text| pattern(text).ok()));
            let sockets = self.config()?.sockets;
            patterns.extend(sockets.into_iter().flat_map(|sockets| sockets.paths));
        }
        Ok(Scope { libvirt, patterns, timeout: self.timeout })
    }

    /// The configuration of `watch`.
    pub(super) fn config(&self) -> Result<Config, UsageError> {
        watch::read(self.config.as_deref()).map_err(|error| UsageError {
            message: error.to_string(),
            hint: Some(error.hint().to_owned()),
        })
    }
}

fn pattern(text: &str) -> Result<PathPattern, String> {
    PathPattern::try_from(text.to_owned())
}

/// The guest that was typed.
pub(super) fn guest_ref(typed: &str) -> Result<GuestRef, UsageError> {
    match typed.strip_prefix(guest::DOMAIN) {
        Some("") => Err(UsageError {
            message: "libvirt: has to be followed by the domain's name or UUID".to_owned(),
            hint: Some("`virsh list` shows the names".to_owned()),
        }),
        Some(name) => Ok(GuestRef::Domain(name.to_owned())),
        None => guest::socket(typed).map(GuestRef::Socket),
    }
}
