//! What can be seen of guests, and whether a capture would succeed.
//!
//! ```text
//! find ──► guests: domains of libvirt, QMP sockets by pattern
//!            └──► facts: run state, panic device, who has the monitor ──► status
//!                   └──► checks: findings, each with what mends it ─────► doctor
//! ```
//!
//! Needs: where to look. Gives: facts and findings; what could not be found out is `None`. Asks
//! only: nothing is changed, no guest is stopped, and a monitor that has a client is not
//! connected to. Every question has a time limit.

mod ask_domain;
mod ask_socket;
mod facts;
mod find;
mod qemu_command_line;
pub mod status;
mod unix_sockets;

pub use facts::{GuestFacts, MonitorState, Trouble};
pub use find::{DEFAULT_PATTERNS, Found, GuestRef, find};
pub use unix_sockets::SocketClient;

use std::time::Duration;

use crate::monitor::libvirt::Address;

/// Where guests are looked for, and how long each may take.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The libvirt whose domains are looked at.
    pub libvirt: Option<Address>,
    /// Patterns of the paths of QMP sockets.
    pub patterns: Vec<String>,
    /// How long a guest's monitor may take for all that it is asked.
    pub timeout: Duration,
}
