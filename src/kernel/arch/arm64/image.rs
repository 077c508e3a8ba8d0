//! The kernel's image by the page tables of vCPUs, which notes of arm64 do not have: TTBR1 is
//! in none of them.

use std::iter;

use crate::kernel::arch::{Image, Machine};

/// None.
pub(super) fn all(_: &Machine) -> Box<dyn Iterator<Item = Image>> {
    Box::new(iter::empty())
}
