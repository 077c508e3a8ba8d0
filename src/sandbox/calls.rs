//! Which system calls there are, by seccomp.
//!
//! The child has those that reading its descriptors and computing need, and no others.
//! A command that reads a stored core opens files where it finds them: it lacks those
//! that reach the network, start programs, or act on the system.
//!
//! What is denied answers `ENOSYS`, as of a kernel that does not have it: libraries then
//! do without, or take an older call (`clone` for `clone3`, whose flags a filter cannot
//! see).

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

/// The flag of `clone` that makes a thread, not a process.
const CLONE_THREAD: u64 = 0x1_0000;
/// `ENOSYS`, the same on all architectures that Linux has but alpha, mips, parisc and sparc.
const NO_SUCH_CALL: u32 = 38;
/// The argument of `prctl` that names a thread.
const PR_SET_NAME: u64 = 15;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: TargetArch = TargetArch::aarch64;

/// What the child has, beside threads and their names.
const CHILD: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    // abort() sends SIGABRT to its own thread; Landlock keeps it from other processes.
    libc::SYS_tgkill,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
];

/// What commands lack, beside processes of their own.
const NO_COMMAND: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_bpf,
    libc::SYS_clone3,
    libc::SYS_connect,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_listen,
    libc::SYS_mount,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_setns,
    libc::SYS_socket,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// What starts another program.
const STARTS_PROGRAM: &[c_long] = &[
    libc::SYS_clone3,
    libc::SYS_execve,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Leaves this process what the child needs.
pub(super) fn allow_child() -> Result<(), String> {
    let mut rules = unconditional(CHILD);
    let thread = condition(0, SeccompCmpOp::MaskedEq(CLONE_THREAD), CLONE_THREAD)?;
    rules.insert(libc::SYS_clone, vec![thread]);
    rules.insert(libc::SYS_prctl, vec![condition(0, SeccompCmpOp::Eq, PR_SET_NAME)?]);
    apply(rules, SeccompAction::Errno(NO_SUCH_CALL), SeccompAction::Allow)
}

/// Takes from this process what a command that reads a core does not need.
pub(super) fn deny_command() -> Result<(), String> {
    let mut rules = unconditional(NO_COMMAND);
    let process = condition(0, SeccompCmpOp::MaskedEq(CLONE_THREAD), 0)?;
    rules.insert(libc::SYS_clone, vec![process]);
    apply(rules, SeccompAction::Allow, SeccompAction::Errno(NO_SUCH_CALL))
}

/// Takes from this process what a command does not need that starts the child.
pub(super) fn deny_import() -> Result<(), String> {
    let mut rules = unconditional(NO_COMMAND);
    for call in STARTS_PROGRAM {
        rules.remove(call);
    }
    apply(rules, SeccompAction::Allow, SeccompAction::Errno(NO_SUCH_CALL))
}

fn unconditional(calls: &[c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn condition(argument: u8, compare: SeccompCmpOp, value: u64) -> Result<SeccompRule, String> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, compare, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(|error| error.to_string())
}

fn apply(rules: Rules, others: SeccompAction, these: SeccompAction) -> Result<(), String> {
    let program: BpfProgram = SeccompFilter::new(rules, others, these, ARCHITECTURE)
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())?;
    apply_filter_all_threads(&program).map_err(|error| error.to_string())
}
