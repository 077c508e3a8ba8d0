//! loongarch64: `NT_PRSTATUS`.
//!
//! ```text
//! 480 bytes
//! 32   pr_pid
//! 112  r0 .. r31            32 x u64
//! 368  orig_a0, which QEMU leaves 0
//! 376  era, badv            2 x u64
//! ```
//!
//! Source: QEMU `target/loongarch/arch_dump.c`. The program counter is not in the
//! note: `era` is the address at which the last exception was taken.

use super::{Field, Layout, no_flags};

pub(super) static LAYOUT: Layout = Layout {
    pid: Some(32),
    at: 112,
    fields: &[
        Field::Long(&[
            "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13",
            "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25",
            "r26", "r27", "r28", "r29", "r30", "r31",
        ]),
        Field::Skip(8),
        Field::Long(&["era", "badv"]),
    ],
    flags: no_flags,
};
