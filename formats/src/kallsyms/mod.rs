//! kallsyms: the kernel's own symbol table, as it is in its memory.
//!
//! ```text
//! kallsyms_names         for each symbol: length, then that many tokens
//!                        length  u8, or two bytes if bit 7 is set: (b0 & 0x7f) | b1 << 7
//! kallsyms_token_table   256 texts, each with its NUL
//! kallsyms_token_index   256 x u16: offset of each text
//! kallsyms_offsets       i32 for each symbol, by ascending address; see [`Mode`]
//!   or kallsyms_addresses  u64 for each symbol
//! kallsyms_num_syms      u32; u64 in old kernels
//! ```
//!
//! A name is the concatenation of its tokens' texts; its first letter is the symbol's type,
//! as in `nm`. The order of the tables depends on the kernel's version. Where VMCOREINFO
//! does not have their addresses, [`locate`] finds them.
//!
//! Names are expanded on demand: [`Names`] keeps the stream, and the offset of each 64th
//! name. [`NameIndex`] hashes all names in one pass without expanding them.
//! `kallsyms_num_syms` and the markers became 32 bits wide with Linux commit 80ffbaa5b1bd
//! "kallsyms: reduce size a little on 64-bit".
//! Source: Linux `kernel/kallsyms.c`, `scripts/kallsyms.c`.
//!
//! ```
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::kallsyms::{NameIndex, Names, Tokens};
//!
//! // Each token is one letter, but token 0, which is "panic".
//! let texts: Vec<Vec<u8>> = (0..=255_u8)
//!     .map(|token| if token == 0 { b"panic".to_vec() } else { vec![token] })
//!     .collect();
//! let (mut table, mut index) = (Vec::new(), Vec::new());
//! for text in &texts {
//!     index.extend(Endian::Little.u16_bytes(table.len() as u16));
//!     table.extend(text);
//!     table.push(0);
//! }
//! let tokens = Tokens::decode(&table, &index, Endian::Little)?;
//!
//! let names = Names::walk(b"\x05n\0_on\x02T\0".to_vec(), 2, tokens);
//! let first = names.name(0).unwrap();
//! assert_eq!((first.letter, first.text.as_str()), (b'n', "panic_on"));
//! assert_eq!(NameIndex::new(&names).all(&names, "panic"), [1]);
//! # Ok::<_, vmcore_formats::kallsyms::TokenError>(())
//! ```

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

/// The most symbols that are read. Kernels have up to 250,000.
pub const MAX_SYMBOLS: u32 = 4 << 20;
/// The longest stream of names that is read, in bytes. Kernels have up to 4 MiB.
pub const MAX_NAMES: u64 = 64 << 20;
/// The longest table of tokens, in bytes. Kernels have about 1 KiB.
pub const MAX_TOKEN_TABLE: usize = 16 << 10;

#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
