//! What a management daemon calls its hook with, as an event.
//!
//! A module for each daemon that has hooks. Most calls concern no panic, and are no event.

mod incus;
mod libvirt;
mod other;
mod proxmox;

use thiserror::Error;
use vmcore_formats::text::bounded;

use super::SpooledEvent;

/// The most arguments of a hook that are kept, and the most bytes of one.
const MAX_ARGUMENTS: usize = 8;
const MAX_ARGUMENT: usize = 512;

/// Why arguments are none that a daemon calls its hook with.
#[derive(Debug, Error)]
pub enum HookError {
    /// There is no such daemon.
    #[error("{found:?} is no kind of hook: libvirt, proxmox, incus or other is needed")]
    Kind {
        /// What was given.
        found: String,
    },
    /// An argument is missing.
    #[error("an argument is missing: {usage}")]
    Missing {
        /// What is needed.
        usage: &'static str,
    },
    /// The daemon has no such operation.
    #[error("{found:?} is no operation: {usage}")]
    Operation {
        /// What was given.
        found: String,
        /// What is needed.
        usage: &'static str,
    },
}

/// The event that a hook was called for: the daemon, its arguments, and what came on stdin.
///
/// Returns `Ok(None)` for what concerns no panic.
pub fn event_of(
    kind: &str,
    arguments: &[String],
    stdin: Option<&str>,
) -> Result<Option<SpooledEvent>, HookError> {
    let arguments: Vec<_> = arguments.iter().map(|text| bounded(text, MAX_ARGUMENT)).collect();
    let event = match kind {
        "libvirt" => libvirt::event(&arguments, stdin)?,
        "proxmox" => proxmox::event(&arguments)?,
        "incus" => incus::event(&arguments)?,
        "other" => other::event(&arguments)?,
        _ => return Err(HookError::Kind { found: bounded(kind, MAX_ARGUMENT) }),
    };
    Ok(event.map(|event| SpooledEvent {
        arguments: arguments.into_iter().take(MAX_ARGUMENTS).collect(),
        ..event
    }))
}

/// Whether a name can be a part of a path.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests;
