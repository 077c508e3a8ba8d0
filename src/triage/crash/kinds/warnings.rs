//! `WARNING:` with the place that raised it, by which helper raised it for its caller.
//!
//! ```text
//! WARNING: CPU: 0 PID: 1 at file:line fn+0x1/0x2
//! WARNING: [condition] file:line at fn+0x1/0x2, CPU#0: comm/1       6.18 and newer
//! WARNING: at file:line fn+0x1/0x2()                                3.x and older
//! ```

use super::candidate::function;
use super::{BlameSource, Candidate, Effect, Header, Kind, header};
use crate::triage::crash::text::{after, has};

const MARKER: &[&str] = super::WARNING;

pub(super) static ROWS: &[&Kind] =
    &[&ODEBUG, &REFCOUNT, &KOBJECT, &LOCKDEP, &VMALLOC, &PROC, &USERCOPY, &KMALLOC, &URB, &WARNING];

/// What warnings have in common.
const RAISED: Kind = Kind {
    r#type: Some("WARNING"),
    blame: BlameSource::PcOrHeader,
    effect: Effect::Warning,
    ..Kind::named("warning")
};

pub(super) static ODEBUG: Kind = Kind {
    headers: &[
        header(MARKER, "WARNING: ODEBUG bug").read_by(|at| raised_in(at, &["debugobjects.c"]))
    ],
    skip: &["@odebug"],
    ..RAISED
};

pub(super) static REFCOUNT: Kind = Kind {
    headers: &[header(MARKER, "WARNING: refcount bug")
        .read_by(|at| raised_in(at, &["refcount.c", "refcount.h"]))],
    r#type: Some("REFCOUNT_WARNING"),
    skip: &["@refcount"],
    ..RAISED
};

pub(super) static KOBJECT: Kind = Kind {
    headers: &[
        header(MARKER, "WARNING: kobject bug").read_by(|at| raised_in(at, &["lib/kobject.c"]))
    ],
    skip: &["@kobject"],
    ..RAISED
};

/// lockdep's own checks: what it reports of others is in [`super::locking`].
pub(super) static LOCKDEP: Kind = Kind {
    headers: &[header(MARKER, "WARNING: locking bug")
        .read_by(|at| raised_in(at, &["locking/lockdep.c", "kernel/lockdep.c"]))],
    r#type: Some("LOCKDEP"),
    skip: &["@lockdep"],
    ..RAISED
};

pub(super) static VMALLOC: Kind = Kind {
    headers: &[header(MARKER, "WARNING: zero-size vmalloc")
        .read_by(|at| raised_by(at, &["__vmalloc_node"]))],
    skip: &["@vmalloc"],
    ..RAISED
};

pub(super) static PROC: Kind = Kind {
    headers: &[header(MARKER, "WARNING: proc registration bug")
        .read_by(|at| raised_in(at, &["fs/proc/generic.c"]))],
    skip: &["@proc"],
    ..RAISED
};

pub(super) static USERCOPY: Kind = Kind {
    headers: &[
        header(MARKER, "WARNING: bad usercopy").read_by(|at| raised_in(at, &["mm/usercopy.c"]))
    ],
    skip: &["@usercopy"],
    ..RAISED
};

/// An allocator refuses a size: the caller is to blame, and not what works for it.
pub(super) static KMALLOC: Kind = Kind {
    headers: &[header(MARKER, "WARNING: kmalloc bug").read_by(|at| {
        has(place(at.message())?.file, "mm/").then_some(())?;
        let allocators =
            ["kmalloc", "kvmalloc", "vmalloc_node", "vmalloc_user", "krealloc", "kcalloc"];
        raised_by(at, &allocators)
    })],
    skip: &["@kmalloc"],
    ..RAISED
};

pub(super) static URB: Kind = Kind {
    headers: &[header(MARKER, "WARNING").read_by(|at| {
        let by = place(at.message())?.function()?;
        (by == "usb_submit_urb").then(|| at.found().naming(Some(by)))
    })],
    skip: &["@urb"],
    suffix: "/usb_submit_urb",
    ..RAISED
};

/// Raised anywhere else.
pub(super) static WARNING: Kind =
    Kind { headers: &[header(MARKER, "WARNING").read_by(|at| raised_in(at, &[""]))], ..RAISED };

/// The header of a warning that was raised in one of these files.
fn raised_in(at: &Candidate<'_, '_>, files: &[&str]) -> Option<Header> {
    let place = place(at.message())?;
    let raised = files.iter().any(|wanted| has(place.file, wanted));
    raised.then(|| at.found().naming(place.function()))
}

/// The header of a warning that was raised by a function whose name begins like this.
fn raised_by(at: &Candidate<'_, '_>, functions: &[&str]) -> Option<Header> {
    let function = place(at.message())?.function();
    let by = function.as_deref().unwrap_or_default();
    let raised = functions.iter().any(|wanted| by.starts_with(wanted));
    raised.then(|| at.found().naming(function))
}

/// Where a warning was raised.
struct Destination<'a> {
    file: &'a [u8],
    /// What follows the file, the function first.
    rest: &'a [u8],
}

impl Destination<'_> {
    fn function(&self) -> Option<String> {
        function(self.rest)
    }
}

/// The place, if the message has one.
fn place(text: &[u8]) -> Option<Destination<'_>> {
    let old = if text.starts_with(b"at ") { text.get(3..) } else { None };
    let middle = text.starts_with(b"CPU: ").then(|| after(text, " at ")).flatten();
    let (file, rest) = if let Some(rest) = old.or(middle) {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        rest.split_at_checked(end)?
    } else {
        let at = memchr::memmem::rfind(text, b" at ")?;
        let (before, rest) = text.split_at_checked(at)?;
        (before.rsplit(|byte| *byte == b' ').next()?, rest.get(4..).unwrap_or_default())
    };
    is_file_and_line(file).then_some(Destination { file, rest })
}

/// `path/file.c:123`
fn is_file_and_line(word: &[u8]) -> bool {
    let Some(colon) = memchr::memrchr(b':', word) else { return false };
    let line = word.get(colon + 1..).unwrap_or_default();
    colon > 0 && !line.is_empty() && line.iter().all(u8::is_ascii_digit)
}
