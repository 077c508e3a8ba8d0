//! The kernel's image by the page tables of vCPUs: none, because notes of arm64 vCPUs do not have
//! TTBR1.

use std::iter;

use crate::kernel::arch::{Image, Machine};

/// None.
pub(super) fn all(_: &Machine) -> Box<dyn Iterator<Item = Image>> {
    Box::new(iter::empty())
}
