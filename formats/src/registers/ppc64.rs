//! ppc64, in both byte orders: `NT_PRSTATUS`, and the bits of MSR.
//!
//! ```text
//! 504 bytes, in the byte order of interrupt handlers
//! 112  gpr0 .. gpr31                        32 x u64
//! 368  nip msr orig_gpr3 ctr lr xer ccr     7 x u64; QEMU leaves orig_gpr3 0
//! 424  softe trap dar dsisr result          5 x u64; QEMU leaves them 0, and pr_pid
//! ```
//!
//! Source: QEMU `target/ppc/arch_dump.c`; the bits of MSR in Linux
//! `arch/powerpc/include/asm/reg.h`.
//!
//! ```
//! let flags = vmcore_formats::registers::ppc64::msr(0x8000_0000_0000_9033);
//! assert_eq!(flags, ["SF", "EE", "ME", "IR", "DR", "RI", "LE"]);
//! ```

use super::bits::named;
use super::{Field, Layout};

pub(super) static LAYOUT: Layout = Layout {
    pid: None,
    at: 112,
    fields: &[Field::Long(&[
        "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26",
        "r27", "r28", "r29", "r30", "r31", "nip", "msr", "orig_r3", "ctr", "lr", "xer", "ccr",
        "softe", "trap", "dar", "dsisr", "result",
    ])],
    flags: |name, value| if name == "msr" { msr(value) } else { Vec::new() },
};

/// The bits of MSR.
pub fn msr(value: u64) -> Vec<String> {
    named(
        value,
        &[
            (63, "SF"),
            (60, "HV"),
            (34, "TS-transactional"),
            (33, "TS-suspended"),
            (32, "TM"),
            (25, "VEC"),
            (23, "VSX"),
            (22, "S"),
            (15, "EE"),
            (14, "PR"),
            (13, "FP"),
            (12, "ME"),
            (10, "SE"),
            (9, "BE"),
            (5, "IR"),
            (4, "DR"),
            (1, "RI"),
            (0, "LE"),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::msr;

    #[test]
    fn the_msr_of_a_kernel_and_of_a_process() {
        assert_eq!(msr(0x8000_0000_0000_9033), ["SF", "EE", "ME", "IR", "DR", "RI", "LE"]);
        assert!(msr(0x8000_0000_0280_f033).contains(&"PR".to_owned()));
    }
}
