//! kallsyms: the kernel's own symbol table, as it lies in the kernel's memory.
//!
//! ```text
//! kallsyms_names         a stream: length, then so many tokens; for each symbol
//!                        length  u8, or two bytes if bit 7 is set: (b0 & 0x7f) | b1 << 7
//! kallsyms_token_table   256 texts, each with its NUL
//! kallsyms_token_index   256 x u16: where each text begins
//! kallsyms_offsets       i32 for each symbol, by ascending address; see [`Mode`]
//!   or kallsyms_addresses  u64 for each symbol
//! kallsyms_num_syms      u32 (u64 before 5.0)
//! ```
//!
//! A name is the texts of its tokens one after the other; its first letter is the
//! symbol's type, as `nm` writes it. How the tables lie to each other differs; where they
//! are when the kernel does not tell, [`locate`] finds out.
//!
//! Nothing is expanded before it is asked for: [`Names`] keeps the stream, and where each
//! 64th name begins. [`NameIndex`] hashes all names in one pass without expanding them.
//! Source: Linux `kernel/kallsyms.c`, `scripts/kallsyms.c`.

mod addresses;
pub mod locate;
pub mod module;
mod name_index;
mod names;
mod tokens;

pub use addresses::{Addresses, Mode};
pub use name_index::NameIndex;
pub use names::{Name, Names};
pub use tokens::{TOKEN_INDEX_LENGTH, TokenError, Tokens};

/// The most symbols that are read. Kernels have up to a quarter of a million.
pub const MAX_SYMBOLS: u32 = 4 << 20;
/// The longest stream of names that is read, in bytes. Kernels have up to 4 MiB.
pub const MAX_NAMES: u64 = 64 << 20;
/// The longest table of tokens, in bytes. Kernels have about 1 KiB.
pub const MAX_TOKEN_TABLE: usize = 16 << 10;

#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
