//! A stored core as a plain ELF file, without unpacking it.
//!
//! ```text
//! debugger ──► kernel ──► /dev/fuse ──► filesystem ──► contents ──► vmcore
//!                                       which file?    which bytes?
//! ```
//!
//! Needs: an open core, an empty directory, and the right to mount. Gives: the
//! directory with `vmcore` in it, until it is unmounted. Only what is read
//! is decompressed.

mod contents;
mod error;
mod filesystem;
mod session;

pub use contents::{Contents, VMCORE_FILE};
pub use error::MountError;
pub use session::{Detached, Ended, Mounted};
