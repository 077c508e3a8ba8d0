//! Messages that name no function: their words are the title.

use super::candidate::{function, mentions};
use super::search::type_by_title;
use super::{BUG, Candidate, Header, INFO, Kind, WARNING, header};
use crate::triage::crash::scrub::scrubbed;
use crate::triage::crash::text::{after, has};

pub(super) static ROWS: &[&Kind] = &[&MESSAGE];

/// A message of the kernel that is an event, whatever it says.
pub(crate) static MESSAGE: Kind = Kind {
    headers: &[
        header(BUG, "BUG: workqueue lockup").starting("workqueue lockup"),
        header(BUG, "BUG: Bad rss-counter state").starting("Bad rss-counter state"),
        header(BUG, "BUG: non-zero nr_ptes on freeing mm")
            .starting("non-zero nr_ptes on freeing mm"),
        header(BUG, "BUG: non-zero nr_pmds on freeing mm")
            .starting("non-zero nr_pmds on freeing mm"),
        header(BUG, "").starting("Bad page ").read_by(bad_page),
        // A program's own "BUG: " on a console is a message, too: nothing tells them apart.
        header(BUG, "").read_by(|at| Some(message("BUG:", at.message()))),
        header(&["BUG "], "").read_by(slub_object),
        header(WARNING, "").starting("kernel stack ").containing(" has bad ").read_by(unwinder),
        header(WARNING, "").read_by(warning),
        header(INFO, "").read_by(info),
        header(
            &["unregister_netdevice: waiting for "],
            "unregister_netdevice: waiting for DEV to become free",
        )
        .containing("to become free"),
        header(&["VFS: Close: file count is 0"], "VFS: Close: file count is zero (use-after-free)"),
        header(
            &["VFS: Busy inodes after unmount of "],
            "VFS: Busy inodes after unmount (use-after-free)",
        ),
    ],
    within_another: true,
    ..Kind::named("message")
};

/// A message that is its own title.
fn message(marker: &str, text: &[u8]) -> Header {
    let words = scrubbed(text);
    if words.is_empty() {
        let title = marker.trim_end_matches(':');
        return Header::new(&MESSAGE, title).typed(type_by_title(title)).damaged();
    }
    let title = format!("{marker} {words}");
    let r#type = type_by_title(&title);
    Header::new(&MESSAGE, title).typed(r#type)
}

/// `Bad page map in process x  pte:1 pmd:2`
fn bad_page(at: &Candidate<'_, '_>) -> Option<Header> {
    let word = function(at.message().strip_prefix(b"Bad page ")?)?;
    Some(Header::new(&MESSAGE, format!("BUG: Bad page {word}")))
}

/// `BUG kmalloc-64 (Tainted: G    B): Redzone overwritten`: SLUB's report of an object. What a
/// sanitizer found has a header of its own.
fn slub_object(at: &Candidate<'_, '_>) -> Option<Header> {
    let text = at.after_marker();
    let cache =
        text.iter().take_while(|byte| !byte.is_ascii_whitespace() && **byte != b':').count();
    let taint = text.get(cache..)?.strip_prefix(b" (").filter(|_| cache > 0)?;
    let tainted = taint.starts_with(b"Not tainted") || taint.starts_with(b"Tainted: ");
    let found = after(taint, "): ").filter(|_| tainted && !at.follows_word())?;
    (!found.starts_with(b"kasan")).then(|| message("BUG:", found))
}

/// `kernel stack regs at 1 in comm:1 has bad 'bp' value 2`: the unwinder's own check.
fn unwinder(at: &Candidate<'_, '_>) -> Option<Header> {
    let rest = at.message().strip_prefix(b"kernel stack ")?;
    let what = if rest.starts_with(b"regs") { "regs" } else { "frame pointer" };
    let bad = after(rest, " has bad ")?;
    let bad = scrubbed(bad.split(|byte| *byte == b' ').next().unwrap_or_default());
    let bad = if bad == "value" { bad } else { format!("{bad} value") };
    Some(Header::new(&MESSAGE, format!("WARNING: kernel stack {what} has bad {bad}")))
}

/// What else begins like this and is no report is a note: a driver's, firmware's, a program's.
fn warning(at: &Candidate<'_, '_>) -> Option<Header> {
    let text = at.message();
    (text.is_empty() || at.is_report()).then(|| message("WARNING:", text))
}

fn info(at: &Candidate<'_, '_>) -> Option<Header> {
    let notes = [
        "lockdep is turned off",
        "nmi handler",
        "recovery required on readonly filesystem",
        "object 0x",
        "slab 0x",
        "task is not in",
        "selinux",
        "lockdep",
    ];
    let text = at.message();
    // A task that waits has a row of its own.
    if text.starts_with(b"task ") || mentions(text, &notes) || has(at.before(), "EXT4-fs") {
        return None;
    }
    // A line that was cut has nothing behind the marker, and the kernel puts nothing but a
    // caller's tag before it: firmware heads its tables like this.
    let headed = text.is_empty() && at.before().iter().any(u8::is_ascii_alphabetic);
    if headed || !text.is_empty() && !at.is_report() {
        return None;
    }
    let found = message("INFO:", text);
    // Lines of SLUB's report, whose header is lost.
    let part = text.starts_with(b"Allocated in ") || text.starts_with(b"Freed in ");
    Some(if part { found.damaged() } else { found })
}
