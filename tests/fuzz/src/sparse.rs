//! A file that is mostly zeros, made of a small input.
//!
//! ```text
//! 0  offset   u16, in units of 8 bytes
//! 2  length   u8
//! 3  bytes
//!    offset, length, bytes ...
//! ```
//!
//! The headers of a dump fill blocks of a page: most of their bytes are zeros, which would be most
//! of what a fuzzer changes. `tests/fuzz/pack` makes an input of a file.

use crate::input::Input;

/// The file of an input.
pub(crate) fn file(input: &[u8]) -> Vec<u8> {
    let mut input = Input::new(input);
    let mut file = Vec::new();
    while !input.is_empty() {
        let start = usize::from(input.u16()).saturating_mul(8);
        let length = usize::from(input.u8());
        let bytes = input.take(length);
        let end = start.saturating_add(bytes.len());
        if file.len() < end {
            file.resize(end, 0);
        }
        if let Some(to) = file.get_mut(start..end) {
            to.copy_from_slice(bytes);
        }
    }
    file
}
