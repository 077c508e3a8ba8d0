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
mod examination;
mod facts;
mod find;
mod finding;
mod guest_checks;
mod hold;
mod host_checks;
mod kernel;
pub mod status;
mod unix_sockets;

pub use examination::{Examination, ExaminedGuest, Wanted};
pub use facts::{GuestFacts, MonitorState, Trouble};
pub use find::{DEFAULT_PATTERNS, Found, GuestRef, find};
pub use finding::{Finding, Severity};
pub use hold::Speed;
pub use unix_sockets::SocketClient;

use std::time::{Duration, Instant};

use crate::monitor::WaitLimits;
use crate::monitor::libvirt::Address;
use crate::watch::config::PathPattern;

/// Where guests are looked for, and how long each may take.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The libvirt whose domains are looked at.
    pub libvirt: Option<Address>,
    /// Patterns of the paths of QMP sockets.
    pub patterns: Vec<PathPattern>,
    /// How long a guest's monitor may take for all that it is asked.
    pub timeout: Duration,
}

impl Scope {
    /// The limits for all that a guest is asked from now on.
    fn limits(&self) -> WaitLimits<'static> {
        let until = Instant::now().checked_add(self.timeout);
        WaitLimits { timeout: self.timeout, until, interrupt: None }
    }
}
