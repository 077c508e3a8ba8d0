//! `BUG:` and `kernel BUG at`.

use super::{At, Header, behind, has, message, sanitizer, trap};
use crate::triage::crash::kind::Kind;

/// Messages behind `BUG:` that name no function: how they begin, and their titles.
const STATES: [(&str, Kind, &str); 25] = [
    ("soft lockup - CPU", Kind::SoftLockup, "BUG: soft lockup"),
    ("workqueue lockup", Kind::Message, "BUG: workqueue lockup"),
    ("spinlock lockup suspected", Kind::Spin, "BUG: spinlock lockup suspected"),
    ("spinlock recursion", Kind::Spin, "BUG: spinlock recursion"),
    ("spinlock bad magic", Kind::Spin, "BUG: spinlock bad magic"),
    ("spinlock already unlocked", Kind::Spin, "BUG: spinlock already unlocked"),
    ("spinlock wrong owner", Kind::Spin, "BUG: spinlock wrong owner"),
    ("spinlock wrong CPU", Kind::Spin, "BUG: spinlock wrong CPU"),
    ("spinlock cpu recursion", Kind::Spin, "BUG: spinlock cpu recursion"),
    ("rwlock bad magic", Kind::Spin, "BUG: rwlock bad magic"),
    ("rwlock recursion", Kind::Spin, "BUG: rwlock recursion"),
    ("rwlock lockup", Kind::Spin, "BUG: rwlock lockup"),
    ("rwlock wrong owner", Kind::Spin, "BUG: rwlock wrong owner"),
    ("rwlock cpu recursion", Kind::Spin, "BUG: rwlock cpu recursion"),
    ("rwlock already unlocked", Kind::Spin, "BUG: rwlock already unlocked"),
    ("rwlock wrong CPU", Kind::Spin, "BUG: rwlock wrong CPU"),
    ("scheduling while atomic", Kind::Atomic, "BUG: scheduling while atomic"),
    (
        "sleeping function called from invalid context",
        Kind::Atomic,
        "BUG: sleeping function called from invalid context",
    ),
    ("bad unlock balance", Kind::Unbalanced, "BUG: bad unlock balance"),
    ("held lock freed", Kind::HeldFreed, "BUG: held lock freed"),
    (
        "lock held when returning to user space",
        Kind::HeldReturning,
        "BUG: lock held when returning to user space",
    ),
    ("Invalid wait context", Kind::WaitContext, "WARNING: locking bug"),
    ("Bad page state", Kind::PageState, "BUG: Bad page state"),
    ("Bad rss-counter state", Kind::Message, "BUG: Bad rss-counter state"),
    ("memory leak", Kind::Leak, "memory leak"),
];

/// `kernel BUG at file:line!`
pub(super) fn at(at: &At<'_, '_>) -> Option<Header> {
    let place = at.message();
    let file = |name: &str| has(place, name);
    Some(if file("lib/list_debug.c") {
        Header::new(Kind::CorruptedList, "BUG: corrupted list")
    } else if file("mm/usercopy.c") {
        Header::new(Kind::BadUsercopy, "BUG: bad usercopy")
    } else {
        Header::new(Kind::Bug, "kernel BUG")
    })
}

/// `BUG: …`
pub(super) fn message_of(at: &At<'_, '_>) -> Option<Header> {
    if follows_word(at.before()) {
        return None;
    }
    let text = at.message();
    if let Some(report) = text.strip_prefix(b"KASAN:") {
        return Some(sanitizer::kasan(at, report));
    }
    if let Some(report) = text.strip_prefix(b"KMSAN:") {
        return Some(sanitizer::kmsan(report));
    }
    if let Some(report) = text.strip_prefix(b"KCSAN:") {
        return Some(sanitizer::kcsan(report));
    }
    if let Some(report) = text.strip_prefix(b"KFENCE:") {
        return Some(sanitizer::kfence(report));
    }
    if let Some(fault) = trap::fault(text) {
        return Some(fault);
    }
    let state = STATES.iter().find(|(start, ..)| text.starts_with(start.as_bytes()));
    if let Some((_, kind, class)) = state {
        return Some(Header::new(*kind, *class));
    }
    if has(text.get(..text.len().min(40))?, "stack guard page was hit") {
        return Some(Header::new(Kind::StackGuard, "BUG: stack guard page was hit"));
    }
    if text.starts_with(b"using ") && has(text, "in preemptible") {
        let helper = text.get(b"using ".len()..)?;
        let end = helper.iter().position(|byte| *byte == b' ')?;
        let helper = std::str::from_utf8(helper.get(..end)?).ok()?;
        return Some(Header::new(
            Kind::Preemptible,
            format!("BUG: using {helper} in preemptible code"),
        ));
    }
    if text.starts_with(b"workqueue leaked ") {
        let work =
            at.following(3).find_map(|line| super::function(behind(line, "last function: ")?));
        return Some(
            Header::new(Kind::LeakedLock, "BUG: workqueue leaked lock or atomic").naming(work),
        );
    }
    if text.starts_with(b"Dentry ") && has(text, "still in use") {
        let how = behind(text, "[").map(|how| how.strip_suffix(b"]").unwrap_or(how));
        let how = how.map(|how| String::from_utf8_lossy(how).into_owned());
        let function = how.as_deref().and_then(|how| super::function(how.as_bytes()));
        let mut header = Header::new(Kind::Dentry, "BUG: Dentry still in use").naming(function);
        header.also = how.map(|how| format!("BUG: Dentry still in use [{how}]"));
        return Some(header);
    }
    if let Some(what) = text.strip_prefix(b"Bad page ") {
        let word = super::function(what)?;
        return Some(Header::new(Kind::Message, format!("BUG: Bad page {word}")));
    }
    // A program's own "BUG: " on a console is a message, too: nothing tells them apart.
    Some(message("BUG:", text))
}

/// Whether a marker is the end of a longer word, as in `DEBUG:`.
pub(super) fn follows_word(before: &[u8]) -> bool {
    before.last().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
}
