//! `WARNING:`

use super::{At, Header, behind, bug, function, has, mentions, message};
use crate::triage::crash::kind::Kind;
use crate::triage::crash::scrub::scrubbed;

/// What lockdep tells: what the message has, and its title.
pub(super) const LOCKDEP: [(&str, Kind, &str); 18] = [
    ("possible circular locking dependency", Kind::Circular, "possible deadlock"),
    ("possible recursive locking", Kind::Recursive, "possible deadlock"),
    ("possible irq lock inversion dependency", Kind::Recursive, "possible deadlock"),
    ("-unsafe lock order detected", Kind::UnsafeOrder, "possible deadlock"),
    ("-READ-unsafe lock order detected", Kind::UnsafeOrder, "possible deadlock"),
    ("inconsistent lock state", Kind::LockState, "inconsistent lock state"),
    ("suspicious RCU usage", Kind::RcuUsage, "suspicious RCU usage"),
    ("suspicious rcu_dereference", Kind::RcuUsage, "suspicious RCU usage"),
    ("still has locks held", Kind::HeldReturning, "still has locks held"),
    ("held lock freed", Kind::HeldFreed, "held lock freed"),
    ("bad unlock balance", Kind::Unbalanced, "bad unlock balance"),
    ("bad contention detected", Kind::Unbalanced, "bad contention"),
    (
        "lock held when returning to user space",
        Kind::HeldReturning,
        "lock held when returning to user space",
    ),
    ("Nested lock was not taken", Kind::NestedLock, "nested lock was not taken"),
    ("trying to register non-static key", Kind::NonStaticKey, "trying to register non-static key"),
    ("Invalid wait context", Kind::WaitContext, "locking bug"),
    ("at least process 1 lock held", Kind::HeldReturning, "lock held"),
    ("lock held at task exit time", Kind::HeldReturning, "lock held at task exit time"),
];

/// Messages that only sound like a crash: notes for administrators.
const HARMLESS: [&str; 14] = [
    "the mand mount option",
    "see https://",
    "see http://",
    "kernel not compiled with",
    "unprivileged ebpf",
    "missed to adjust virtual screen size",
    "uses deprecated v2 capabilities",
    "uses wireless extensions",
    "/etc/ssh/moduli does not exist",
    "this software",
    "nmi handler",
    "image with",
    "mounting with",
    "permanently added",
];

/// Titles of lockdep's that stand without `WARNING:`.
pub(super) fn lockdep(marker: &str, text: &[u8]) -> Option<Header> {
    let (_, kind, class) = LOCKDEP.iter().find(|(has_this, ..)| has(text, has_this))?;
    let bare =
        matches!(kind, Kind::Circular | Kind::Recursive | Kind::UnsafeOrder | Kind::LockState);
    let bare = bare || *class == "locking bug" && marker.is_empty();
    // `[ INFO: … ]` of 4.x and older names who wants the lock before anything else.
    let old = *kind == Kind::UnsafeOrder && marker == "INFO:";
    let kind = if old { &Kind::Recursive } else { kind };
    Some(Header::new(*kind, if bare { (*class).to_owned() } else { format!("{marker} {class}") }))
}

/// `WARNING: …`
pub(super) fn read(at: &At<'_, '_>) -> Option<Header> {
    let text = at.message();
    if bug::follows_word(at.before()) || mentions(text, &HARMLESS) || quotes(at.before()) {
        return None;
    }
    if let Some(lockdep) = lockdep("WARNING:", text) {
        return Some(lockdep);
    }
    if let Some((place, named)) = place(text) {
        return Some(at_place(place, named));
    }
    if let Some(rest) = text.strip_prefix(b"kernel stack ")
        && let Some(bad) = behind(rest, " has bad ")
    {
        let what = if rest.starts_with(b"regs") { "regs" } else { "frame pointer" };
        let bad = scrubbed(bad.split(|byte| *byte == b' ').next().unwrap_or_default());
        let bad = if bad == "value" { bad } else { format!("{bad} value") };
        return Some(Header::new(
            Kind::Message,
            format!("WARNING: kernel stack {what} has bad {bad}"),
        ));
    }
    // What else begins so and is no report is a note: of a driver, of firmware, of a program.
    (text.is_empty() || at.is_report()).then(|| message("WARNING:", text))
}

/// Whether the marker is within another message's words: `EXT4-fs (sda): WARNING: …`.
fn quotes(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    ["EXT4-fs", "XFS (", "EXT3-fs", "EXT2-fs", "Spectre", "Speculative", "MDS", "TAA", "L1TF"]
        .iter()
        .any(|start| before.starts_with(start.as_bytes()))
}

/// The file of a warning, and the function that its line names, if it does.
fn place(text: &[u8]) -> Option<(&[u8], Option<String>)> {
    // 3.x and older: `at file:line fn+0x1/0x2()`; then `CPU: 0 PID: 1 at file:line fn+0x1/0x2`.
    let old = if text.starts_with(b"at ") { text.get(3..) } else { None };
    let middle = text.starts_with(b"CPU: ").then(|| behind(text, " at ")).flatten();
    if let Some(rest) = old.or(middle) {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let file = rest.get(..end)?;
        return looks_like_place(file)
            .then(|| (file, function(rest.get(end..).unwrap_or_default())));
    }
    // 6.18 and newer: `[condition] file:line at fn+0x1/0x2, CPU#0: comm/1`.
    let named = memchr::memmem::rfind(text, b" at ")?;
    let (before, behind) = text.split_at(named);
    let file = before.rsplit(|byte| *byte == b' ').next()?;
    let named = behind.get(4..).unwrap_or_default();
    looks_like_place(file).then(|| (file, function(named)))
}

/// `path/file.c:123`
fn looks_like_place(word: &[u8]) -> bool {
    let Some(colon) = memchr::memrchr(b':', word) else { return false };
    let line = word.get(colon + 1..).unwrap_or_default();
    colon > 0 && !line.is_empty() && line.iter().all(u8::is_ascii_digit)
}

/// A warning by where it was raised: helpers raise them for their callers.
fn at_place(file: &[u8], named: Option<String>) -> Header {
    let by = named.as_deref().unwrap_or_default();
    let (kind, class) = if has(file, "debugobjects.c") {
        (Kind::WarningOdebug, "WARNING: ODEBUG bug")
    } else if has(file, "refcount.c") || has(file, "refcount.h") {
        (Kind::WarningRefcount, "WARNING: refcount bug")
    } else if has(file, "lib/kobject.c") {
        (Kind::WarningKobject, "WARNING: kobject bug")
    } else if has(file, "locking/lockdep.c") || has(file, "kernel/lockdep.c") {
        (Kind::WarningLocking, "WARNING: locking bug")
    } else if by.starts_with("__vmalloc_node") {
        (Kind::WarningVmalloc, "WARNING: zero-size vmalloc")
    } else if has(file, "fs/proc/generic.c") {
        (Kind::WarningProc, "WARNING: proc registration bug")
    } else if has(file, "mm/usercopy.c") {
        (Kind::WarningUsercopy, "WARNING: bad usercopy")
    } else if is_allocation(file, by) {
        (Kind::WarningKmalloc, "WARNING: kmalloc bug")
    } else if by == "usb_submit_urb" {
        (Kind::WarningUrb, "WARNING")
    } else {
        (Kind::Warning, "WARNING")
    };
    Header::new(kind, class).naming(named)
}

/// Whether an allocator refused a size: what callers call complains, not what works for it.
fn is_allocation(file: &[u8], by: &str) -> bool {
    let allocators = ["kmalloc", "kvmalloc", "vmalloc_node", "vmalloc_user", "krealloc", "kcalloc"];
    has(file, "mm/") && allocators.iter().any(|name| by.starts_with(name))
}
