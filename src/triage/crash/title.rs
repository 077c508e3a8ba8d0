//! Titles, and the types that dashboards sort by.
//!
//! Needs: a class and a function. Gives: the title, its alternates and its type.

use super::header::Header;
use super::kind::{Kind, Source};
use super::stack::name::without_syscall_prefix;

/// The most alternates that are kept.
const MAX_ALTERNATES: usize = 8;

/// A crash by its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) title: String,
    pub(crate) alternates: Vec<String>,
    /// The function, as the title has it.
    pub(crate) frame: Option<String>,
}

/// What stands where a function is missing.
const MISSING: &str = "corrupted";

/// Names an event.
pub(crate) fn of(header: &Header, function: Option<&str>, origin: Option<&str>) -> Names {
    let kind = header.kind;
    let frameless = kind.rule().source == Source::None;
    let (frame, spelling) = match function {
        Some(function) => frame(kind, function),
        None => (None, None),
    };
    let with = |class: &str, frame: Option<&str>| match frame {
        Some(frame) => format!("{class} in {frame}{}", suffix(kind)),
        None if frameless => class.to_owned(),
        None => format!("{class} in {MISSING}"),
    };
    let title = with(&header.class, frame.as_deref());
    let mut alternates: Vec<String> = header.also.iter().cloned().collect();
    alternates.extend(origin.map(|origin| format!("KMSAN origin in {origin}")));
    let other = kind.rule().alternate;
    alternates.extend(other.map(|other| with(other, frame.as_deref())));
    if let Some(spelling) = spelling {
        alternates.push(with(&header.class, Some(&spelling)));
        alternates.extend(other.map(|other| with(other, Some(&spelling))));
    }
    alternates.retain(|alternate| *alternate != title);
    alternates.sort();
    alternates.dedup();
    alternates.truncate(MAX_ALTERNATES);
    Names { title, alternates, frame }
}

/// The function as a title has it, and how it is spelt, if that differs.
fn frame(kind: Kind, function: &str) -> (Option<String>, Option<String>) {
    let waits = kind == Kind::HungTask && function.contains("synchronize_");
    let short = if waits {
        "synchronize_rcu"
    } else if kind == Kind::HungTask && function.contains("rtnl_lock") {
        "rtnl_lock"
    } else {
        without_syscall_prefix(function)
    };
    let spelling = (short != function).then(|| function.to_owned());
    (Some(short.to_owned()), spelling)
}

const fn suffix(kind: Kind) -> &'static str {
    match kind {
        Kind::WarningUrb => "/usb_submit_urb",
        _ => "",
    }
}

/// Types by how a title begins; the first that fits. `None`: no type.
const TYPES: [(&str, Option<&str>); 62] = [
    ("KASAN: invalid-free", Some("KASAN-INVALID-FREE")),
    ("KASAN: null-ptr-deref Write", Some("KASAN-NULL-POINTER-DEREFERENCE-WRITE")),
    ("KASAN: null-ptr-deref", Some("KASAN-NULL-POINTER-DEREFERENCE-READ")),
    ("KASAN: use-after-free Write", Some("KASAN-USE-AFTER-FREE-WRITE")),
    ("KASAN: slab-use-after-free Write", Some("KASAN-USE-AFTER-FREE-WRITE")),
    ("KASAN: use-after-free", Some("KASAN-USE-AFTER-FREE-READ")),
    ("KASAN: slab-use-after-free", Some("KASAN-USE-AFTER-FREE-READ")),
    ("KFENCE: invalid free", Some("KFENCE-INVALID-FREE")),
    ("KFENCE: memory corruption", Some("KFENCE-MEMORY-CORRUPTION")),
    ("KFENCE: use-after-free write", Some("KFENCE-USE-AFTER-FREE-WRITE")),
    ("KFENCE: use-after-free", Some("KFENCE-USE-AFTER-FREE-READ")),
    ("KFENCE: out-of-bounds write", Some("KFENCE-WRITE")),
    ("KFENCE: invalid write", Some("KFENCE-WRITE")),
    ("KFENCE:", Some("KFENCE-READ")),
    ("KMSAN: kernel-infoleak", Some("KMSAN-INFO-LEAK")),
    ("KMSAN: kernel-usb-infoleak", Some("KMSAN-INFO-LEAK")),
    ("KMSAN: use-after-free", Some("KMSAN-USE-AFTER-FREE-READ")),
    ("KMSAN:", Some("KMSAN-UNINIT-VALUE")),
    ("KCSAN: assert", Some("KCSAN-ASSERT")),
    ("KCSAN:", Some("KCSAN-DATARACE")),
    ("UBSAN: array-index", Some("MEMORY_SAFETY_UBSAN")),
    ("UBSAN:", Some("UBSAN")),
    ("BUG: corrupted list", Some("MEMORY_SAFETY_BUG")),
    ("BUG: unable to handle kernel paging request", Some("MEMORY_SAFETY_BUG")),
    ("BUG: unable to handle kernel NULL", Some("NULL-POINTER-DEREFERENCE")),
    ("BUG: bad usercopy", Some("BUG")),
    ("kernel BUG", Some("BUG")),
    ("BUG: sleeping function called from invalid context", Some("ATOMIC_SLEEP")),
    ("BUG: scheduling while atomic", Some("ATOMIC_SLEEP")),
    ("BUG: soft lockup", Some("HANG")),
    ("INFO: rcu detected stall", Some("HANG")),
    ("INFO: task hung", Some("HANG")),
    ("INFO: task can't die", Some("HANG")),
    ("hard lockup", Some("HANG")),
    ("BUG: spinlock", Some("LOCKDEP")),
    ("BUG: rwlock", Some("LOCKDEP")),
    ("BUG: using ", Some("LOCKDEP")),
    ("BUG: bad unlock balance", Some("LOCKDEP")),
    ("BUG: held lock freed", Some("LOCKDEP")),
    ("possible deadlock", Some("LOCKDEP")),
    ("inconsistent lock state", Some("LOCKDEP")),
    ("WARNING: locking bug", Some("LOCKDEP")),
    ("WARNING: held lock freed", Some("LOCKDEP")),
    ("WARNING: bad unlock balance", Some("LOCKDEP")),
    ("WARNING: lock held", Some("LOCKDEP")),
    ("WARNING: nested lock", Some("LOCKDEP")),
    ("WARNING: suspicious RCU usage in", Some("LOCKDEP")),
    ("WARNING: refcount bug", Some("REFCOUNT_WARNING")),
    ("WARNING: kernel stack", None),
    ("WARNING", Some("WARNING")),
    ("memory leak", Some("LEAK")),
    ("unexpected kernel reboot", Some("REBOOT")),
    ("SYZ", Some("SYZ_FAILURE")),
    ("divide error", Some("DoS")),
    ("general protection fault", Some("DoS")),
    ("stack segment fault", Some("DoS")),
    ("kernel panic", Some("DoS")),
    ("kernel stack overflow", Some("DoS")),
    ("PANIC: double fault", Some("DoS")),
    ("Unhandled fault", Some("DoS")),
    ("Internal error", Some("DoS")),
    ("Alignment trap", Some("DoS")),
];

/// More of what stops a guest.
const STOPS: [&str; 7] = [
    "invalid opcode",
    "int3",
    "trusty:",
    "go runtime error",
    "SError",
    "machine check",
    "kernel oops",
];

/// A title's type.
pub(crate) fn type_of(title: &str) -> Option<String> {
    if title.starts_with("KASAN:") && !title.contains("free") && !title.contains("null-ptr") {
        let write = title.split(" in ").next().is_some_and(|class| class.contains(" Write"));
        return Some(if write { "KASAN-WRITE" } else { "KASAN-READ" }.to_owned());
    }
    if STOPS.iter().any(|start| title.starts_with(start)) {
        return Some("DoS".to_owned());
    }
    let (_, kind) = TYPES.iter().find(|(start, _)| title.starts_with(start))?;
    kind.map(str::to_owned)
}
