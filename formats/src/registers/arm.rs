//! arm (32-bit): `NT_PRSTATUS`, and the bits of CPSR.
//!
//! ```text
//! 148 bytes
//! 24   pr_pid
//! 72   r0 .. r12, sp, lr, pc, cpsr   17 x u32
//!
//! cpsr: 31 N | 30 Z | 29 C | 28 V | 8 A | 7 I | 6 F | 5 T | 4..0 mode
//! ```
//!
//! Source: QEMU `target/arm/arch_dump.c`.
//!
//! ```
//! assert_eq!(vmcore_formats::registers::arm::cpsr(0x6000_0093), ["svc", "Z", "C", "I"]);
//! ```

use super::bits::{field, named};
use super::{Field, Layout};

pub(super) static LAYOUT: Layout = Layout {
    pid: Some(24),
    at: 72,
    fields: &[Field::Word(&[
        "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp",
        "lr", "pc", "cpsr",
    ])],
    flags: |name, value| if name == "cpsr" { cpsr(value) } else { Vec::new() },
};

/// CPSR: the mode, the condition flags, and the masked exceptions.
pub fn cpsr(value: u64) -> Vec<String> {
    let mut flags = vec![mode(value)];
    flags.extend(conditions(value));
    flags
}

pub(super) fn mode(value: u64) -> String {
    let mode = field(value, 0, 5);
    match mode {
        0x10 => "usr",
        0x11 => "fiq",
        0x12 => "irq",
        0x13 => "svc",
        0x16 => "mon",
        0x17 => "abt",
        0x1a => "hyp",
        0x1b => "und",
        0x1f => "sys",
        _ => return format!("mode={mode:#x}"),
    }
    .to_owned()
}

pub(super) fn conditions(value: u64) -> Vec<String> {
    named(
        value,
        &[(31, "N"), (30, "Z"), (29, "C"), (28, "V"), (8, "A"), (7, "I"), (6, "F"), (5, "T")],
    )
}

#[cfg(test)]
mod tests {
    use super::cpsr;

    #[test]
    fn cpsr_has_a_mode_and_flags() {
        assert_eq!(cpsr(0x6000_0093), ["svc", "Z", "C", "I"]);
        assert_eq!(cpsr(0x0000_0020), ["mode=0x0", "T"]);
    }
}
