//! Where a stack begins that is to be unwound.
//!
//! ```text
//! a vCPU                 its note's registers
//! a switched-out task    what `kernel::arch` says that it saved
//! ```
//!
//! What a task saved when it was switched out is true only until it runs again.

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;

use super::step::Position;
use super::unwinder::Unwinder;
use crate::kernel::types::{Object, ObjectError, SavedContext, TypeError};
use crate::kernel::{CodeAddress, Kernel};
use crate::vmcore::registers::Vcpu;

/// Why a stack's beginning is not known.
#[derive(Clone, Debug, Error)]
pub(crate) enum StartError {
    /// No such vCPU.
    #[error("the core has no registers of vCPU {0}")]
    NoVcpu(usize),
    /// It has notes, and the registers are not in them.
    #[error(transparent)]
    NoRegister(#[from] VcpuStartError),
    /// It runs, and where is not known.
    #[error("the task is on a CPU, and none of the core's vCPUs is known to be that one")]
    NoCpu,
    /// What the task saved cannot be read.
    #[error("what the task saved when it was switched out cannot be read: {0}")]
    Task(#[from] ObjectError),
}

impl From<TypeError> for StartError {
    fn from(error: TypeError) -> Self {
        Self::Task(ObjectError::Type(error))
    }
}

/// A register that a vCPU's notes do not have.
#[derive(Clone, Debug, Error)]
#[error("the notes of vCPU {vcpu} do not have {register}")]
pub(crate) struct VcpuStartError {
    /// Which vCPU.
    vcpu: usize,
    /// Which register.
    register: &'static str,
}

/// Where a vCPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VcpuStart {
    /// Whether it is in user mode.
    pub(crate) in_user_mode: bool,
    /// Its next instruction.
    pub(crate) ip: u64,
    /// Its stack pointer.
    pub(crate) sp: u64,
    /// Its frame pointer.
    pub(crate) fp: u64,
}

/// A general register of a vCPU.
pub(crate) fn register(cpu: &Vcpu, register: &'static str) -> Result<u64, VcpuStartError> {
    let found = cpu.general.iter().find(|one| one.name == register);
    found.map(|one| one.value).ok_or(VcpuStartError { vcpu: cpu.number, register })
}

/// Where a vCPU is.
///
/// Returns `Ok(None)` if it is in user code.
pub(crate) fn of_vcpu(kernel: &Kernel, cpu: &Vcpu) -> Result<Option<Position>, StartError> {
    let VcpuStart { in_user_mode, ip, sp, fp } = kernel.arch.vcpu_start(cpu)?;
    let registers = cpu.general.iter().map(|one| (one.name, one.value)).collect();
    let (address, sp) = (CodeAddress::Instruction(VirtAddr(ip)), Some(VirtAddr(sp)));
    Ok((!in_user_mode).then_some(Position { address, sp, fp, rest: sp, registers }))
}

/// Where a switched-out task is.
pub(crate) fn of_sleeper(
    kernel: &Kernel,
    unwinder: &Unwinder,
    task: VirtAddr,
) -> Result<Position, StartError> {
    let task = Object::at(kernel, "task_struct", task)?;
    let (ip, sp, fp) = match kernel.arch.saved_context() {
        SavedContext::InTask { pc, sp, fp } => {
            (unwinder.strip(task.u64(pc)?), task.u64(sp)?, task.u64(fp)?)
        }
        SavedContext::OnStack { sp, frame, return_address, frame_pointer } => {
            let types = kernel.types().map_err(|error| ObjectError::Types(error.clone()))?;
            let sp = task.u64(sp)?;
            let above = sp.wrapping_add(types.size(frame)?);
            let frame = Object::at(kernel, frame, VirtAddr(sp))?;
            (frame.u64(return_address)?, above, frame.u64(frame_pointer)?)
        }
    };
    let ip = VirtAddr(ip);
    // A task that has never run has not called anything: it starts with this function.
    let new = ["ret_from_fork_asm", "ret_from_fork"].into_iter();
    let new = new.filter_map(|name| kernel.symbol(name)).any(|start| start == ip);
    let address = if new { CodeAddress::Instruction(ip) } else { CodeAddress::Return(ip) };
    let sp = Some(VirtAddr(sp));
    Ok(Position { address, sp, fp, rest: sp, registers: Vec::new() })
}
