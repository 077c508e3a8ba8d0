//! `.debug_str`: the strings of BTF, made harmless.
//!
//! Debuggers print names on terminals as they are. So what is no printable ASCII becomes `_`,
//! and no string is longer than a name can be. The kernel's strings keep their offsets: BTF has
//! each of them once already.

use vmcore_formats::btf::Btf;

/// The longest name.
const MAX_NAME: usize = 512;

/// The strings of a file's types.
#[derive(Debug)]
pub(super) struct Strings {
    bytes: Vec<u8>,
}

impl Strings {
    /// All strings of a kernel's BTF.
    pub(super) fn all(btf: &Btf) -> Self {
        let mut bytes = btf.strings().to_vec();
        let mut length = 0_usize;
        for byte in &mut bytes {
            if *byte == 0 || length == MAX_NAME {
                (*byte, length) = (0, 0);
                continue;
            }
            *byte = harmless(*byte);
            length = length.saturating_add(1);
        }
        match bytes.last_mut() {
            Some(last) => *last = 0,
            None => bytes.push(0),
        }
        Self { bytes }
    }

    /// Where a string of BTF is.
    pub(super) fn offset(&self, name: u32) -> u32 {
        let within = usize::try_from(name).is_ok_and(|name| name < self.bytes.len());
        if within { name } else { 0 }
    }

    /// The section.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// What a terminal does not obey.
fn harmless(byte: u8) -> u8 {
    if (b' '..=b'~').contains(&byte) { byte } else { b'_' }
}
