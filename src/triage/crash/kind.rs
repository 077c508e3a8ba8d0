//! Kinds of events, and how the guilty function of each is found.
//!
//! Needs: nothing. Gives: for a kind, where its function is looked for, what is skipped besides
//! the general families, and under which other title it may be known.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Kasan,
    KasanFree,
    Kmsan,
    KmsanUsb,
    Kcsan,
    Kfence,
    KfenceFree,
    KfenceCorruption,
    Ubsan,
    UbsanIndex,
    Fault,
    Trap,
    TrapAtPc,
    DivideError,
    InvalidOpcode,
    DoubleFault,
    ArmFault,
    AlignmentTrap,
    Bug,
    BadUsercopy,
    CorruptedList,
    RustPanic,
    Warning,
    WarningOdebug,
    WarningRefcount,
    WarningKobject,
    WarningUsercopy,
    WarningProc,
    WarningLocking,
    WarningKmalloc,
    WarningVmalloc,
    WarningUrb,
    SoftLockup,
    HardLockup,
    RcuStall,
    HungTask,
    CantDie,
    Atomic,
    Preemptible,
    Spin,
    Circular,
    Recursive,
    UnsafeOrder,
    LockState,
    RcuUsage,
    HeldFreed,
    Unbalanced,
    HeldReturning,
    NonStaticKey,
    WaitContext,
    NestedLock,
    LeakedLock,
    PageState,
    Dentry,
    Leak,
    StackGuard,
    StackOverflow,
    StackCorrupt,
    StackEnd,
    MachineCheck,
    HeaderLost,
    /// What `die()` says, where an architecture has no header besides.
    Die,
    Panic,
    /// A message without a function.
    Message,
    /// What a program of the guest says of itself, or its firmware.
    Outside,
}

/// Where the guilty function is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The kind has none.
    None,
    /// The header names it; then the first stack.
    Header,
    /// The header names it; then the stack right behind it.
    HeaderBehind,
    /// Where the processor was, and what called that; then the first stack.
    Pc,
    /// Only where the processor was, and what called that.
    PcOnly,
    /// The first stack.
    Trace,
    /// The stack right behind the header.
    Behind,
    /// The stack behind a line that contains this.
    After(&'static str),
    /// The functions after `at:`, so many of them, then the first stack.
    At(usize),
    /// The function after the first `at:`, whatever it is: what took the lock is the bug.
    Lock,
    /// A busy processor's stack, by who dispatched what it does.
    Stall,
    /// A waiting task's stack, by what it waits in.
    Hung,
}

/// How the guilty function of a kind is found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) source: Source,
    /// Families besides the general ones.
    pub(crate) families: &'static [&'static str],
    /// The other title's beginning.
    pub(crate) alternate: Option<&'static str>,
}

const fn rule(source: Source, families: &'static [&'static str]) -> Rule {
    Rule { source, families, alternate: None }
}

const fn known_as(alternate: &'static str, rule: Rule) -> Rule {
    Rule { alternate: Some(alternate), ..rule }
}

const BAD_ACCESS: &str = "bad-access";

impl Kind {
    /// How its function is found.
    pub(crate) const fn rule(self) -> Rule {
        use Source::{
            After, At, Behind, Header, HeaderBehind, Hung, Lock, Pc, PcOnly, Stall, Trace,
        };
        match self {
            Self::Kasan => known_as(BAD_ACCESS, rule(Header, &["@fault"])),
            Self::KasanFree => known_as("invalid-free", rule(Header, &["@free"])),
            Self::Kmsan => known_as(BAD_ACCESS, rule(Behind, &["@kmsan"])),
            Self::KmsanUsb => rule(Behind, &["@kmsan-usb"]),
            Self::Kfence => known_as(BAD_ACCESS, rule(HeaderBehind, &[])),
            Self::KfenceFree => known_as("invalid-free", rule(HeaderBehind, &[])),
            Self::KfenceCorruption => rule(HeaderBehind, &[]),
            Self::Ubsan => rule(Trace, &["@ubsan"]),
            Self::UbsanIndex => known_as(BAD_ACCESS, rule(Trace, &["@ubsan"])),
            Self::Fault | Self::Trap | Self::ArmFault => known_as(BAD_ACCESS, rule(Pc, &[])),
            Self::TrapAtPc | Self::AlignmentTrap | Self::Die | Self::HeaderLost => rule(Pc, &[]),
            Self::DivideError | Self::InvalidOpcode | Self::DoubleFault => rule(PcOnly, &[]),
            Self::Bug => rule(Pc, &["@bug"]),
            Self::RustPanic => rule(Trace, &[]),
            Self::BadUsercopy => rule(Trace, &["@usercopy"]),
            Self::CorruptedList => known_as(BAD_ACCESS, rule(Trace, &["@list"])),
            Self::Warning => rule(Pc, &[]),
            Self::WarningOdebug => rule(Pc, &["@odebug"]),
            Self::WarningRefcount => rule(Pc, &["@refcount"]),
            Self::WarningKobject => rule(Pc, &["@kobject"]),
            Self::WarningUsercopy => rule(Pc, &["@usercopy"]),
            Self::WarningProc => rule(Pc, &["@proc"]),
            Self::WarningLocking => rule(Pc, &["@lockdep"]),
            Self::WarningKmalloc => rule(Pc, &["@kmalloc"]),
            Self::WarningVmalloc => rule(Pc, &["@vmalloc"]),
            Self::WarningUrb => rule(Pc, &["@urb"]),
            Self::SoftLockup | Self::HardLockup => known_as("stall", rule(Stall, &["@stall"])),
            Self::RcuStall => known_as("stall", rule(Stall, &["@stall"])),
            Self::HungTask => known_as("hang", rule(Hung, &["@hung"])),
            Self::CantDie => known_as("hang", rule(Trace, &["@schedule"])),
            Self::Atomic => rule(Trace, &["@schedule"]),
            Self::Preemptible => rule(Trace, &["@schedule", "@preempt"]),
            Self::Spin => rule(Trace, &["@spin"]),
            Self::Circular => rule(At(2), &["@wq"]),
            Self::Recursive | Self::HeldReturning | Self::HeldFreed => rule(Lock, &[]),
            Self::UnsafeOrder => rule(After("which became "), &["@wq"]),
            Self::LockState | Self::NestedLock => rule(Trace, &[]),
            Self::RcuUsage => rule(Trace, &["@rcu"]),
            Self::Unbalanced => rule(Behind, &["@lockdep"]),
            Self::NonStaticKey => rule(Trace, &[]),
            Self::WaitContext => rule(Trace, &["@lockdep"]),
            Self::PageState => rule(After("page last allocated"), &["@page"]),
            Self::Leak => rule(After("backtrace"), &["@leak"]),
            Self::StackGuard => known_as("stack-overflow", rule(Stall, &[])),
            Self::StackOverflow | Self::StackEnd => {
                known_as("stack-overflow", rule(Stall, &["@stack"]))
            }
            Self::StackCorrupt => rule(Header, &[]),
            Self::LeakedLock
            | Self::Dentry
            | Self::Kcsan
            | Self::MachineCheck
            | Self::Panic
            | Self::Message
            | Self::Outside => rule(Source::None, &[]),
        }
    }

    /// What one CPU or task tells of another.
    pub(crate) const fn is_told_by_others(self) -> bool {
        matches!(self, Self::HungTask | Self::CantDie | Self::RcuStall | Self::HardLockup)
    }

    /// What kernels do in `die()`: these end a task, and with `panic_on_oops` the guest.
    pub(crate) const fn is_oops(self) -> bool {
        matches!(
            self,
            Self::Fault
                | Self::Trap
                | Self::TrapAtPc
                | Self::DivideError
                | Self::InvalidOpcode
                | Self::DoubleFault
                | Self::ArmFault
                | Self::AlignmentTrap
                | Self::Bug
                | Self::BadUsercopy
                | Self::CorruptedList
                | Self::RustPanic
                | Self::StackGuard
                | Self::StackOverflow
                | Self::HeaderLost
                | Self::Die
        )
    }

    /// What goes through `__warn()`.
    pub(crate) const fn is_warning(self) -> bool {
        matches!(
            self,
            Self::Warning
                | Self::WarningOdebug
                | Self::WarningRefcount
                | Self::WarningKobject
                | Self::WarningUsercopy
                | Self::WarningProc
                | Self::WarningLocking
                | Self::WarningKmalloc
                | Self::WarningVmalloc
                | Self::WarningUrb
        )
    }

    /// What lockdep tells: it stops the system only through `panic_on_warn`, if at all.
    pub(crate) const fn is_lockdep(self) -> bool {
        matches!(
            self,
            Self::Circular
                | Self::Recursive
                | Self::UnsafeOrder
                | Self::LockState
                | Self::NestedLock
                | Self::HeldReturning
                | Self::RcuUsage
                | Self::HeldFreed
                | Self::Unbalanced
                | Self::NonStaticKey
                | Self::WaitContext
        )
    }

    /// A panic without another event.
    pub(crate) const fn is_panic(self) -> bool {
        matches!(self, Self::Panic | Self::StackCorrupt | Self::StackEnd)
    }

    /// What the kernel prints behind another header of the same `die()`.
    pub(crate) const fn may_follow(self) -> bool {
        matches!(
            self,
            Self::InvalidOpcode
                | Self::DoubleFault
                | Self::ArmFault
                | Self::StackOverflow
                | Self::HeaderLost
                | Self::Die
                | Self::Panic
                | Self::Message
                | Self::Outside
        )
    }

    /// Its name in data.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kasan | Self::KasanFree => "kasan",
            Self::Kmsan | Self::KmsanUsb => "kmsan",
            Self::Kcsan => "kcsan",
            Self::Kfence | Self::KfenceFree | Self::KfenceCorruption => "kfence",
            Self::Ubsan | Self::UbsanIndex => "ubsan",
            Self::Fault => "memory fault",
            Self::Trap
            | Self::TrapAtPc
            | Self::DivideError
            | Self::InvalidOpcode
            | Self::DoubleFault
            | Self::Die => "trap",
            Self::ArmFault | Self::AlignmentTrap => "arm fault",
            Self::Bug | Self::BadUsercopy | Self::CorruptedList | Self::RustPanic => "bug",
            Self::SoftLockup => "soft lockup",
            Self::HardLockup => "hard lockup",
            Self::RcuStall => "rcu stall",
            Self::HungTask | Self::CantDie => "hung task",
            Self::Atomic | Self::Preemptible => "atomic",
            Self::Spin => "spinlock",
            Self::LeakedLock => "workqueue",
            Self::PageState | Self::Dentry => "memory state",
            Self::Leak => "memory leak",
            Self::StackGuard | Self::StackOverflow | Self::StackEnd => "stack overflow",
            Self::StackCorrupt => "stack corruption",
            Self::MachineCheck => "machine check",
            Self::HeaderLost => "oops, header lost",
            Self::Panic => "panic",
            Self::Message => "message",
            Self::Outside => "outside the kernel",
            _ if self.is_lockdep() => "lockdep",
            _ => "warning",
        }
    }
}
