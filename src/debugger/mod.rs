//! The right debugger for a stored core, on the right kernel.
//!
//! ```text
//! core's VMCOREINFO ──► build id, release ──► vmlinux   found and checked
//!                                             program   crash, drgn or gdb
//!                                             child     runs it, with the terminal
//!                             vmlinux ──► source_lines   of addresses of code
//! ```
//!
//! Needs: an open core, and where it is mounted. Does not mount ([`crate::mount`])
//! and does not read the environment (`cli`).

mod child;
mod gdb_proxy;
mod program;
pub mod source_lines;
mod vmlinux;

pub use child::{Signals, run};
pub use gdb_proxy::{GdbProxy, Outcome as ProxyOutcome};
pub use program::{NotInstalled, Program, gdb_on_guest, shell_quoted};
pub use vmlinux::{KernelBuild, ModuleFiles, NotFound, SymbolPaths, Vmlinux, VmlinuxError};
