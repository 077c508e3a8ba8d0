//! `.debug_str`: the strings of BTF, made harmless.
//!
//! Debuggers print names on terminals as they are. So what is no printable ASCII becomes `_`,
//! and no string is longer than a name can be. The kernel's strings keep their offsets: BTF has
//! each of them once already. A module's file has only those that it uses.

use std::collections::HashMap;

use vmcore_formats::btf::Btf;

/// The longest name.
const MAX_NAME: usize = 512;

/// The strings of a file's types.
#[derive(Debug)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    /// Where each string of BTF is that is used. `None` where all have the offsets of BTF.
    used: Option<HashMap<u32, u32>>,
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
        Self { bytes, used: None }
    }

    /// Those alone that are asked for: of a module, whose strings continue the kernel's.
    pub(super) fn used() -> Self {
        Self { bytes: vec![0], used: Some(HashMap::new()) }
    }

    /// Where a string of BTF is.
    pub(super) fn offset(&mut self, btf: &Btf, name: u32) -> u32 {
        let Some(used) = &mut self.used else {
            let within = usize::try_from(name).is_ok_and(|name| name < self.bytes.len());
            return if within { name } else { 0 };
        };
        if let Some(offset) = used.get(&name) {
            return *offset;
        }
        let text = btf.string_at(name);
        let Ok(offset) = u32::try_from(self.bytes.len()) else { return 0 };
        self.bytes.extend(text.iter().copied().map(harmless).chain([0]));
        used.insert(name, offset);
        offset
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
