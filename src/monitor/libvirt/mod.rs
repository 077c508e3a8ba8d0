//! libvirt's daemon, over its local socket.
//!
//! ```text
//! Address ──► Client ──► domains, states, XML, events      many domains, one connection
//!                └─────► DomainMonitor                     one domain, as a Monitor
//! ```
//!
//! Needs: a URI, and what of the environment libvirt's own clients look at. Gives: typed
//! answers and events. Speaks libvirt's RPC protocol itself (`formats::libvirt`): nothing
//! is linked. Every wait has an end, every length a bound, and several calls may be in
//! flight. Does not decide anything about a guest (`capture` does).

mod address;
mod client;
mod domain_monitor;
mod domains;
mod dump;
mod fifo;
pub(crate) mod owner;
pub(crate) mod pipe_access;
pub(crate) mod stale_pipes;

pub use address::{Address, AddressError, DomainTarget, Environment};
pub use client::{Access, CallId, Client, Received};
pub use domain_monitor::{DomainFacts, DomainMonitor};
