//! Captures the memory of panicked QEMU guests and lets the guests go.
//!
//! ```text
//! cli ──► capture ──► qmp       a guest's monitor
//!    │           ├──► store     entries on disk, their metadata
//!    │           └──► formats   bytes to values (the crate vmcore-formats)
//!    ├──► triage ──► kernel     what happened: the crash of a log, and the report of a core
//!    ├──► kernel ──► vmcore     a guest's kernel, out of its memory
//!    ├──► vmcore ──► formats    stored cores, opened in place
//!    ├──► export ──► kernel     a stored core in another tool's format
//!    ├──► mount ──► vmcore      a stored core as a plain file
//!    └──► render                prints; decides nothing
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
pub mod debugger;
pub mod export;
pub mod import;
pub mod interrupt;
pub mod kernel;
pub mod mount;
pub mod qmp;
pub mod render;
pub mod store;
pub mod triage;
pub mod vmcore;
