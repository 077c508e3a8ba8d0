//! arm64: `NT_PRSTATUS`, and the bits of PSTATE.
//!
//! ```text
//! 392 bytes, in the byte order of EL1's data
//! 32   pr_pid
//! 112  x0 .. x30, sp, pc, pstate     34 x u64
//! 384  pr_fpvalid  u32
//!
//! pstate: 31 N | 30 Z | 29 C | 28 V | 25 TCO | 24 DIT | 23 UAO | 22 PAN | 21 SS | 20 IL |
//!         13 ALLINT | 12 SSBS | 11..10 BTYPE | 9 D | 8 A | 7 I | 6 F | 4 AArch32 |
//!         3..2 EL | 0 SP of that level
//! ```
//!
//! Source: QEMU `target/arm/arch_dump.c`; `SPSR_EL1` in the Arm ARM (DDI 0487).
//!
//! ```
//! use vmcore_formats::registers::arm64::pstate;
//!
//! assert_eq!(pstate(0x6040_03c5), ["EL1h", "Z", "C", "D", "A", "I", "F", "PAN"]);
//! ```

use super::bits::{field, named};
use super::{Field, Layout};

pub(super) static LAYOUT: Layout = Layout {
    pid: Some(32),
    at: 112,
    fields: &[Field::Long(&[
        "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
        "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26",
        "x27", "x28", "x29", "x30", "sp", "pc", "pstate",
    ])],
    flags: |name, value| if name == "pstate" { pstate(value) } else { Vec::new() },
};

/// PSTATE: the exception level, the condition flags, and the masked exceptions.
pub fn pstate(value: u64) -> Vec<String> {
    const AARCH32: u32 = 4;
    if field(value, AARCH32, 1) == 1 {
        let mut flags = vec!["AArch32".to_owned(), super::arm::mode(value)];
        flags.extend(super::arm::conditions(value));
        return flags;
    }
    let stack = if field(value, 0, 1) == 1 { 'h' } else { 't' };
    let mut flags = vec![format!("EL{}{stack}", field(value, 2, 2))];
    flags.extend(named(
        value,
        &[
            (31, "N"),
            (30, "Z"),
            (29, "C"),
            (28, "V"),
            (9, "D"),
            (8, "A"),
            (7, "I"),
            (6, "F"),
            (25, "TCO"),
            (24, "DIT"),
            (23, "UAO"),
            (22, "PAN"),
            (21, "SS"),
            (20, "IL"),
            (13, "ALLINT"),
            (12, "SSBS"),
        ],
    ));
    let branch = field(value, 10, 2);
    if branch > 0 {
        flags.push(format!("BTYPE={branch}"));
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::pstate;

    #[test]
    fn pstate_has_a_level_and_flags() {
        assert_eq!(pstate(0x6040_03c5), ["EL1h", "Z", "C", "D", "A", "I", "F", "PAN"]);
        assert_eq!(pstate(0x8000_0000), ["EL0t", "N"]);
        assert_eq!(pstate(0x0000_0809), ["EL2h", "BTYPE=2"]);
        assert_eq!(pstate(0x2000_0010), ["AArch32", "usr", "C"]);
    }
}
