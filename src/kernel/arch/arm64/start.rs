//! Where a stack of an arm64 kernel begins.

use super::registers::LEVEL;
use crate::kernel::types::SavedContext;
use crate::kernel::unwind::{VcpuStart, VcpuStartError, register};
use crate::vmcore::registers::Vcpu;

/// `thread.cpu_context` has the callee-saved registers.
pub(super) const SAVED_CONTEXT: SavedContext = SavedContext::InTask {
    pc: "thread.cpu_context.pc",
    sp: "thread.cpu_context.sp",
    fp: "thread.cpu_context.fp",
};

/// By the registers of a vCPU.
pub(super) fn of_vcpu(cpu: &Vcpu) -> Result<VcpuStart, VcpuStartError> {
    Ok(VcpuStart {
        in_user_mode: register(cpu, "pstate")? & LEVEL == 0,
        ip: register(cpu, "pc")?,
        sp: register(cpu, "sp")?,
        fp: register(cpu, "x29")?,
    })
}
