//! Call instructions of arm64.
//!
//! ```text
//! bl imm26: 0x94000000 | blr Xn: 0xd63f0000, with authentication 0xd63f08xx, 0xd73f08xx
//! ```

use vmcore_formats::endian::Endian;

/// Whether the last instruction of `code` is a call.
pub(super) fn ends_in_call(code: &[u8]) -> bool {
    let Some(instruction) = code.last_chunk().map(|bytes| Endian::Little.u32(*bytes)) else {
        return false;
    };
    instruction >> 26 == 0b10_0101 || instruction & 0xfeff_f000 == 0xd63f_0000
}

#[cfg(test)]
mod tests {
    use super::ends_in_call;

    #[test]
    fn calls_are_distinguished_from_jumps() {
        // bl; blr x8; blraaz x8
        for code in [0x9400_1234_u32, 0xd63f_0100, 0xd63f_091f] {
            assert!(ends_in_call(&code.to_le_bytes()), "{code:#x}");
        }
        // b; br x8; ret
        for code in [0x1400_1234_u32, 0xd61f_0100, 0xd65f_03c0] {
            assert!(!ends_in_call(&code.to_le_bytes()), "{code:#x}");
        }
    }
}
