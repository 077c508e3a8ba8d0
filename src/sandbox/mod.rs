//! Bounds what the parsing of hostile memory can cost.
//!
//! ```text
//! capture, import, held                        child: the same program
//!   Request, dump head ──── channel (stdout) ──►  reads the request, confines itself
//!   core's file, or a socket ──────── (stdin) ──►  reads memory
//!   Report or plan, or why there is none ◄─ channel  writes it
//!   its last line ◄────────────────── (stderr) ──  says why it ends
//! ```
//!
//! The memory of a panicked guest is untrusted: an attacker may have written every byte. A
//! process that holds the guest therefore parses none of it: it starts a [`Child`], waits for
//! it no longer than a limit, and takes whatever becomes of it as a result. Commands that read
//! a stored core confine themselves ([`confine::command`]).
//!
//! Needs: `/proc`, where the program's own file is. Gives: limits on memory, processor
//! time and files by rlimits, no new files by Landlock, no network and no other program
//! by seccomp. A kernel without one of these gives the others.

mod calls;
mod child;
pub mod confine;
mod end;
mod files;
pub mod limits;
pub mod plan;
pub mod print;
pub mod report;
mod request_line;
mod task;

pub use child::{Child, ChildLimits, Waited};
pub use end::ChildError;
pub use task::Task;

/// The hidden command that the child runs.
pub const COMMAND: &str = "report-child";
