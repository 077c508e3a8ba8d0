//! `BUG:` and `kernel BUG at`.

use super::{At, Header, behind, has, message, sanitizer, trap};
use crate::triage::crash::kind::Kind;

/// Messages behind `BUG:` that name no function: how they begin, and their titles.
const STATES: [(&str, Kind, &str); 14] = [
    ("soft lockup - CPU", Kind::SoftLockup, "BUG: soft lockup"),
    ("workqueue lockup", Kind::Message, "BUG: workqueue lockup"),
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
    ("Bad page cache", Kind::PageState, "BUG: Bad page cache"),
    ("Bad rss-counter state", Kind::Message, "BUG: Bad rss-counter state"),
    ("non-zero nr_ptes on freeing mm", Kind::Message, "BUG: non-zero nr_ptes on freeing mm"),
    ("non-zero nr_pmds on freeing mm", Kind::Message, "BUG: non-zero nr_pmds on freeing mm"),
    ("memory leak", Kind::Leak, "memory leak"),
];

/// What is found of locks that spin, behind their kind.
const SPINNING: [&str; 9] = [
    "lockup suspected",
    "lockup",
    "already unlocked",
    "recursion",
    "cpu recursion",
    "bad magic",
    "wrong owner",
    "wrong CPU",
    "trylock failure on UP",
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
    if let Some(spinning) = spinning(text) {
        return Some(spinning);
    }
    if has(text, "still has locks held") {
        return Some(Header::new(Kind::HeldReturning, "BUG: still has locks held"));
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

/// `spinlock bad magic on CPU#0`
fn spinning(text: &[u8]) -> Option<Header> {
    let lock = ["spinlock", "rwlock"].into_iter().find(|lock| text.starts_with(lock.as_bytes()))?;
    let state = text.get(lock.len()..)?.strip_prefix(b" ")?;
    let found = SPINNING.iter().find(|word| state.starts_with(word.as_bytes()))?;
    Some(Header::new(Kind::Spin, format!("BUG: {lock} {found}")))
}

/// `BUG kmalloc-64 (Tainted: G    B): Redzone overwritten`: SLUB's report of an object. What a
/// sanitizer found of it has a header of its own.
pub(super) fn object(at: &At<'_, '_>) -> Option<Header> {
    let text = at.text().get(at.end..)?;
    let cache =
        text.iter().take_while(|byte| !byte.is_ascii_whitespace() && **byte != b':').count();
    let taint = text.get(cache..)?.strip_prefix(b" (").filter(|_| cache > 0)?;
    let told = taint.starts_with(b"Not tainted") || taint.starts_with(b"Tainted: ");
    let found = behind(taint, "): ").filter(|_| told && !follows_word(at.before()))?;
    (!found.starts_with(b"kasan")).then(|| message("BUG:", found))
}

/// Whether a marker is the end of a longer word, as in `DEBUG:`.
pub(super) fn follows_word(before: &[u8]) -> bool {
    before.last().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
}
