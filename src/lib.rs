//! Captures the memory of panicked QEMU guests and lets the guests go.
//!
//! ```text
//! cli ──► everything
//! capture ──► {monitor, held, corefile, metadata, store, triage}    a guest's panic, to an entry
//! import ──► {vmcore, kernel, corefile, metadata, store, triage}     another tool's dump, to an entry
//! export, mount, debugger ──► {kernel, vmcore, corefile}             a core for other programs
//! held ──► {monitor, vmcore}                                         the memory of a held guest
//! triage ──► kernel ──► vmcore ──► {corefile, metadata, formats}     what happened; the guest's kernel; its memory
//! render ──► what it prints                                          decides nothing
//! store ──► metadata                                                 entries on disk
//! monitor, metadata, formats                                         QMP; values; bytes to values
//! ```
//!
//! `cli` alone knows clap, anyhow, the environment and the standard streams.
//! `capture` alone sees both a guest and the store.
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests count small numbers of their own")
)]

pub mod capture;
pub mod cli;
pub mod corefile;
pub mod debugger;
pub mod export;
pub mod held;
pub mod import;
pub mod interrupt;
pub mod kernel;
pub mod metadata;
pub mod monitor;
pub mod mount;
pub mod render;
pub mod store;
pub mod triage;
pub mod vmcore;
