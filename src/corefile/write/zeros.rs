//! Whether bytes are zeros, found out while they are moved.

static ZEROS: [u8; 4096] = [0; 4096];

/// Compares against zeros a page at a time, so that a page with data ends the
/// search, and the comparison is the C library's own.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|page| Some(page) == ZEROS.get(..page.len()))
}
