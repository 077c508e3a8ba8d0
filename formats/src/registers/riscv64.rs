//! riscv64: `NT_PRSTATUS`. QEMU writes no other registers.
//!
//! ```text
//! 376 bytes
//! 32   pr_pid
//! 112  pc, x1 .. x31, by the names of the calling convention   32 x u64
//! ```
//!
//! Source: QEMU `target/riscv/arch_dump.c`.

use super::{Field, Layout, no_flags};

pub(super) static LAYOUT: Layout = Layout {
    pid: Some(32),
    at: 112,
    fields: &[Field::Long(&[
        "pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
        "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
        "t5", "t6",
    ])],
    flags: no_flags,
};
