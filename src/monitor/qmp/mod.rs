//! A guest's monitor: QEMU's QMP over a unix socket.
//!
//! Needs: the path of a socket that QEMU made with `-qmp unix:…`. Gives: typed
//! answers and events. Every wait has an end ([`Patience`]), every length a
//! bound, and an error of QEMU keeps its class and text as they came.
//! Does not decide anything about the guest (`capture` does).

mod client;
mod command;
mod error;
mod line;
mod message;
mod patience;
mod socket;

pub use client::{Client, CommandId, Happening};
pub use command::{CpuPath, CrashInformation, DumpStatus, MemorySize, RunState};
pub use error::QmpError;
pub use message::{Event, Refusal, Version};
pub use patience::Patience;
