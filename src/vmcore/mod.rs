//! Stored cores, opened in place.
//!
//! Needs: a file that a capture wrote. Gives: its frames and the metadata that
//! travels in it, by three short reads at its end, whatever its size.

mod stored;

pub use stored::{StoredVmcore, VmcoreError};
