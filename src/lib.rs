//! Captures the memory of panicked QEMU guests and lets the guests go.
//!
//! ```text
//! cli ─► all                                                                      what was typed, and what is answered
//! all ─► formats, host_memory, interrupt, printable, regular_file, spool, units, wildcard      bytes to values; the host's free memory; signals; safe text; opening files; events of daemons; sizes and times; patterns
//! capture ─► corefile, encryption, held, metadata, monitor, observer, sandbox, store, triage  a guest's panic, to an entry
//! watch ─► capture, encryption, metadata, monitor, store                          panics of all guests of a host, each to a capture of its own
//! import ─► corefile, encryption, kernel, metadata, observer, sandbox, store, triage, vmcore  another tool's dump, to an entry
//! doctor ─► corefile, metadata, monitor, store, watch                             what is seen of guests; whether a capture would succeed
//! held ─► corefile, metadata, monitor, sandbox, vmcore                            the memory of a held guest
//! sandbox ─► corefile, encryption, kernel, metadata, triage                       a report by a process without rights
//! vmlinux ─► kernel                                                               a vmlinux made out of a core
//! export ─► corefile, kernel, vmcore                                              a core as another tool's file
//! mount ─► corefile, metadata, vmcore                                             a core as a plain file
//! debugger ─► corefile, kernel                                                    a debugger's start; source lines
//! render ─► debugger, doctor, kernel, metadata, store, triage, vmcore, watch      prints; decides nothing
//! triage ─► kernel, metadata, vmcore                                              what happened: crash, signature, report
//! kernel ─► vmcore                                                                the guest's kernel, out of its memory
//! bucket ─► corefile, metadata, remote, store, tables                             a store in object storage: push, pull, removal
//! tables ─► metadata, remote, store                                               a row for each crash, and tables of them
//! remote ─► corefile, metadata                                                    cores in object storage and behind HTTP
//! vmcore ─► corefile, metadata                                                    the guest's memory, by physical address
//! store ─► metadata                                                               entries on disk
//! encryption ─► corefile, metadata                                                files that only their recipients can read
//! observer ─► corefile                                                            who is notified of progress
//! corefile ─► metadata                                                            the compressed core as a file
//! ```
//!
//! `cli` alone knows clap, anyhow, the environment and the standard streams.
//! `capture` alone sees both a guest and the store; `watch` counts entries.
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "tests count small numbers of their own")
)]

pub mod bucket;
pub mod capture;
pub mod cli;
pub mod corefile;
pub mod debugger;
pub mod doctor;
pub mod encryption;
pub mod export;
pub mod held;
pub mod host_memory;
pub mod import;
pub mod interrupt;
pub mod kernel;
pub mod metadata;
pub mod monitor;
pub mod mount;
pub mod observer;
pub mod printable;
pub mod regular_file;
pub mod remote;
pub mod render;
pub mod sandbox;
pub mod spool;
pub mod store;
pub mod tables;
pub mod triage;
pub mod units;
pub mod vmcore;
pub mod vmlinux;
pub mod watch;
pub mod wildcard;
