//! What an architecture gives to unwind its kernel's stacks.

use std::fmt;

use super::guest::Guest;
use super::step::{Failure, Position, Step};
use crate::kernel::Kernel;

/// How callers are found in the stacks of one kernel, and what was read for it.
pub(crate) trait Callers: fmt::Debug + Send + Sync {
    /// The method for one walk.
    fn method<'k>(&'k self, kernel: &'k Kernel) -> Box<dyn Method + 'k>;

    /// An address without its pointer authentication code.
    fn strip(&self, address: u64) -> u64 {
        address
    }
}

/// From a stack frame to its caller.
pub(crate) trait Method {
    /// The caller, by what all of the kernel's code is compiled for.
    fn step(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure>;

    /// The caller, by any means that are left.
    fn guess(&self, guest: &dyn Guest, from: &Position) -> Result<Step, Failure>;
}
