//! What unwinding needs to know of a guest.

use vmcore_formats::addr::VirtAddr;

/// A kernel whose stacks are unwound.
pub(crate) trait Guest {
    /// The word at an address, if it can be read.
    fn word(&self, at: VirtAddr) -> Option<u64>;

    /// Whether there is code at an address.
    fn is_text(&self, at: VirtAddr) -> bool;

    /// Where the function begins that an address is in, if that is known.
    fn function(&self, at: VirtAddr) -> Option<VirtAddr>;
}
