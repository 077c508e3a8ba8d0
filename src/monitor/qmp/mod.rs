//! A guest's monitor: QEMU's QMP over a unix socket.
//!
//! Needs: the path of a socket that QEMU made with `-qmp unix:…`. Gives: typed
//! answers and events. Every wait has an end ([`super::WaitLimits`]), every length a
//! bound, and an error of QEMU keeps its class and text as they came.
//! Does not decide anything about the guest (`capture` does).

mod client;
mod command;
mod devices;
mod gdb_server;
mod line;
mod message;

pub use client::Client;
