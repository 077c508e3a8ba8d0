//! Where a stack begins that is to be unwound.
//!
//! ```text
//! a vCPU                its note's registers
//! a task that sleeps    x86-64   thread.sp ──► inactive_task_frame: .., bp, ret_addr
//!                       arm64    thread.cpu_context: fp, sp, pc
//! ```
//!
//! What a task left behind when it was switched from is true only until it runs again.

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;

use super::step::Position;
use super::unwinder::Unwinder;
use crate::kernel::types::{Object, ObjectError, TypeError};
use crate::kernel::{CodeAddress, Kernel};
use crate::vmcore::registers::Vcpu;

/// Why a stack's beginning is not known.
#[derive(Clone, Debug, Error)]
pub(crate) enum StartError {
    /// No such vCPU.
    #[error("the core has no registers of vCPU {0}")]
    NoVcpu(usize),
    /// It has notes, and the registers are not in them.
    #[error("the notes of vCPU {vcpu} do not have {register}")]
    NoRegister {
        /// Which vCPU.
        vcpu: usize,
        /// Which register.
        register: &'static str,
    },
    /// It runs, and where is not known.
    #[error("the task is on a CPU, and none of the core's vCPUs is known to be that one")]
    NoCpu,
    /// What the task saved cannot be read.
    #[error("what the task saved when it went to sleep cannot be read: {0}")]
    Task(#[from] ObjectError),
}

impl From<TypeError> for StartError {
    fn from(error: TypeError) -> Self {
        Self::Task(ObjectError::Type(error))
    }
}

/// Where a vCPU is.
///
/// Returns `Ok(None)` if it is in user code.
pub(crate) fn of_vcpu(unwinder: &Unwinder, cpu: &Vcpu) -> Result<Option<Position>, StartError> {
    let registers: Vec<_> = cpu.general.iter().map(|one| (one.name, one.value)).collect();
    let get = |register: &'static str| {
        let found = registers.iter().find(|(name, _)| *name == register);
        let vcpu = cpu.number;
        found.map(|(_, value)| *value).ok_or(StartError::NoRegister { vcpu, register })
    };
    let (in_user_code, ip, sp, fp) = if unwinder.is_arm64() {
        const LEVEL: u64 = 0xc;
        (get("pstate")? & LEVEL == 0, get("pc")?, get("sp")?, get("x29")?)
    } else {
        const USER: u64 = 3;
        let level = cpu.privilege.map_or_else(|| get("cs").map(|cs| cs & USER), |it| Ok(it.into()));
        (level? == USER, get("rip")?, get("rsp")?, get("rbp")?)
    };
    let (address, sp) = (CodeAddress::Instruction(VirtAddr(ip)), Some(VirtAddr(sp)));
    Ok((!in_user_code).then_some(Position { address, sp, fp, rest: sp, registers }))
}

/// Where a task is that sleeps.
pub(crate) fn of_sleeper(
    kernel: &Kernel,
    unwinder: &Unwinder,
    task: VirtAddr,
) -> Result<Position, StartError> {
    let task = Object::at(kernel, "task_struct", task)?;
    let (ip, sp, fp) = if unwinder.is_arm64() {
        let saved = |name| task.u64(&format!("thread.cpu_context.{name}"));
        (unwinder.strip(saved("pc")?), saved("sp")?, saved("fp")?)
    } else {
        let types = kernel.types().map_err(|error| ObjectError::Types(error.clone()))?;
        let sp = task.u64("thread.sp")?;
        let frame = Object::at(kernel, "inactive_task_frame", VirtAddr(sp))?;
        let above = sp.wrapping_add(types.size("inactive_task_frame")?);
        (frame.u64("ret_addr")?, above, frame.u64("bp")?)
    };
    let ip = VirtAddr(ip);
    // A task that has never run has not called anything: it starts with this function.
    let new = ["ret_from_fork_asm", "ret_from_fork"].into_iter();
    let new = new.filter_map(|name| kernel.symbol(name)).any(|start| start == ip);
    let address = if new { CodeAddress::Instruction(ip) } else { CodeAddress::Return(ip) };
    let sp = Some(VirtAddr(sp));
    Ok(Position { address, sp, fp, rest: sp, registers: Vec::new() })
}
