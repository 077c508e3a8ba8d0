//! KASAN, KMSAN, KCSAN, KFENCE and UBSAN.

use super::candidate::function;
use super::messages::MESSAGE;
use super::{BUG, BlameSource, Candidate, Effect, Header, Kind, StackRule, header};
use crate::triage::crash::scrub::scrubbed;
use crate::triage::crash::text::{after, has};

/// The title that kinds of the same wrong access share.
pub(super) const BAD_ACCESS: &str = "bad-access";

const INVALID_FREE: &str = "invalid-free";

const UBSAN_MARKER: &[&str] = &["UBSAN:"];

pub(super) static ROWS: &[&Kind] = &[
    &KASAN,
    &KASAN_FREE,
    &KMSAN,
    &KMSAN_USB,
    &KCSAN,
    &KFENCE,
    &KFENCE_FREE,
    &KFENCE_CORRUPTION,
    &UBSAN,
    &UBSAN_INDEX,
];

pub(super) static KASAN: Kind = Kind {
    headers: &[
        header(BUG, "KASAN: ").starting("KASAN:").read_by(kasan),
        // Linux 4.0 to 4.3
        header(BUG, "KASAN: ").starting("KASan:").read_by(kasan),
    ],
    blame: BlameSource::Header,
    skip: &["@fault"],
    alternate: Some(BAD_ACCESS),
    effect: Effect::Warning,
    panic_reasons: &["KASAN: panic_on_warn", "kasan.fault=panic"],
    before_oops: true,
    ..Kind::named("kasan")
};

/// A double or invalid free: [`kasan`] reads its header.
pub(super) static KASAN_FREE: Kind = Kind {
    r#type: Some("KASAN-INVALID-FREE"),
    skip: &["@free"],
    alternate: Some(INVALID_FREE),
    headers: &[],
    blame: BlameSource::Header,
    effect: Effect::Warning,
    panic_reasons: &["KASAN: panic_on_warn", "kasan.fault=panic"],
    ..Kind::named("kasan")
};

/// `KASAN: use-after-free in fn+0x1/0x2`, and `Read of size 4 at addr ...` below.
fn kasan(at: &Candidate<'_, '_>) -> Option<Header> {
    /// How many lines below the header say whether it was a read.
    const ACCESS_WITHIN: usize = 8;
    let what = at.message().get("KASAN:".len()..)?.trim_ascii();
    let old = [
        ("out of bounds access in ", "out-of-bounds in "),
        ("use after free in ", "use-after-free in "),
    ];
    let old = old
        .iter()
        .find_map(|(old, new)| Some([new.as_bytes(), what.strip_prefix(old.as_bytes())?].concat()));
    let what = old.as_deref().unwrap_or(what);
    let named = after(what, " in ").and_then(function);
    if what.starts_with(b"double-free") || what.starts_with(b"invalid-free") {
        return Some(Header::new(&KASAN_FREE, "KASAN: invalid-free").naming(named));
    }
    let accesses = [
        ("Read of size", "Read"),
        ("Write of size", "Write"),
        ("Read at addr", "Read"),
        ("Write at addr", "Write"),
    ];
    let access = at.next_lines(ACCESS_WITHIN).find_map(|line| {
        let line = line.trim_ascii_start();
        accesses.iter().find(|(start, _)| line.starts_with(start.as_bytes()))
    });
    let word = scrubbed(what.split(|byte| *byte == b' ').next().unwrap_or_default());
    let header = match access {
        // An address without an object near it: the first kernels named no function there.
        Some((_, access)) if has(what, " on address") => {
            Header::new(&MESSAGE, format!("KASAN: {word} {access}"))
        }
        Some((_, access)) if !word.is_empty() => {
            Header::new(&KASAN, format!("KASAN: {word} {access}")).naming(named)
        }
        _ => Header::new(&MESSAGE, format!("KASAN: {}", scrubbed(what)).trim()).damaged(),
    };
    let r#type = kasan_type(&header.class);
    Some(header.typed(r#type))
}

/// By what was wrong with the address, and whether it was a write.
fn kasan_type(class: &str) -> Option<&'static str> {
    let types = [
        ("null-ptr-deref Write", "KASAN-NULL-POINTER-DEREFERENCE-WRITE"),
        ("null-ptr-deref", "KASAN-NULL-POINTER-DEREFERENCE-READ"),
        ("use-after-free Write", "KASAN-USE-AFTER-FREE-WRITE"),
        ("slab-use-after-free Write", "KASAN-USE-AFTER-FREE-WRITE"),
        ("use-after-free", "KASAN-USE-AFTER-FREE-READ"),
        ("slab-use-after-free", "KASAN-USE-AFTER-FREE-READ"),
    ];
    let what = class.strip_prefix("KASAN: ").unwrap_or_default();
    if what.contains("free") || what.contains("null-ptr") {
        let known = types.iter().find(|(start, _)| what.starts_with(start));
        return known.map(|(_, r#type)| *r#type);
    }
    let write = what.split(" in ").next().is_some_and(|what| what.contains(" Write"));
    Some(if write { "KASAN-WRITE" } else { "KASAN-READ" })
}

pub(super) static KMSAN: Kind = Kind {
    headers: &[header(BUG, "KMSAN: ").starting("KMSAN:").read_by(kmsan)],
    r#type: Some("KMSAN-UNINIT-VALUE"),
    blame: BlameSource::Below,
    skip: &["@kmsan"],
    alternate: Some(BAD_ACCESS),
    stack: StackRule::IfAnnounced,
    panic_reasons: &["panic_on_kmsan"],
    ..Kind::named("kmsan")
};

/// A value that a device gets: [`kmsan`] reads its header.
pub(super) static KMSAN_USB: Kind = Kind {
    r#type: Some("KMSAN-INFO-LEAK"),
    blame: BlameSource::Below,
    skip: &["@kmsan-usb"],
    origin: Some(" created at:"),
    stack: StackRule::IfAnnounced,
    panic_reasons: &["panic_on_kmsan"],
    ..Kind::named("kmsan")
};

/// `KMSAN: uninit-value in fn+0x1/0x2`
fn kmsan(at: &Candidate<'_, '_>) -> Option<Header> {
    let (word, named) = word_and_function(after(at.message(), "KMSAN:")?);
    let kind = if word.contains("usb-infoleak") { &KMSAN_USB } else { &KMSAN };
    let header = Header::new(kind, format!("KMSAN: {word}").trim()).naming(named);
    let leaks = word.starts_with("kernel-infoleak") || word.starts_with("kernel-usb-infoleak");
    let r#type = match word.as_str() {
        _ if leaks => "KMSAN-INFO-LEAK",
        word if word.starts_with("use-after-free") => "KMSAN-USE-AFTER-FREE-READ",
        _ => "KMSAN-UNINIT-VALUE",
    };
    Some(header.typed(Some(r#type)))
}

pub(super) static KCSAN: Kind = Kind {
    headers: &[header(BUG, "KCSAN: ").starting("KCSAN:").read_by(kcsan)],
    r#type: Some("KCSAN-DATARACE"),
    effect: Effect::Warning,
    panic_reasons: &["KCSAN: panic_on_warn"],
    ..Kind::named("kcsan")
};

/// `KCSAN: data-race in fn+0x1/0x2 / fn+0x3/0x4`: both functions are the bug.
fn kcsan(at: &Candidate<'_, '_>) -> Option<Header> {
    let title = scrubbed(after(at.message(), "KCSAN:")?.trim_ascii());
    let header = match title.rsplit_once(" in ") {
        Some((class, one)) if !one.contains('/') => {
            Header::new(&KCSAN, format!("KCSAN: {class}")).naming(function(one.as_bytes()))
        }
        Some((class, two)) => {
            let names: Vec<_> =
                two.split(" / ").filter_map(|name| function(name.as_bytes())).collect();
            Header::new(&KCSAN, format!("KCSAN: {class} in {}", names.join(" / ")))
        }
        None => Header::new(&KCSAN, format!("KCSAN: {title}")),
    };
    let is_assert = header.class.starts_with("KCSAN: assert");
    Some(if is_assert { header.typed(Some("KCSAN-ASSERT")) } else { header })
}

pub(super) static KFENCE: Kind = Kind {
    headers: &[header(BUG, "KFENCE: ").starting("KFENCE:").read_by(kfence)],
    r#type: Some("KFENCE-READ"),
    alternate: Some(BAD_ACCESS),
    before_oops: true,
    ..KFENCE_REPORT
};

/// An invalid free: [`kfence`] reads its header.
pub(super) static KFENCE_FREE: Kind =
    Kind { r#type: Some("KFENCE-INVALID-FREE"), alternate: Some(INVALID_FREE), ..KFENCE_REPORT };

/// A write out of bounds that is found when the object is freed: [`kfence`] reads its header.
pub(super) static KFENCE_CORRUPTION: Kind =
    Kind { r#type: Some("KFENCE-MEMORY-CORRUPTION"), ..KFENCE_REPORT };

/// What KFENCE's reports have in common.
const KFENCE_REPORT: Kind = Kind {
    blame: BlameSource::HeaderThenBelow,
    stack: StackRule::IfAnnounced,
    effect: Effect::Warning,
    panic_reasons: &["KFENCE: panic_on_warn"],
    ..Kind::named("kfence")
};

/// `KFENCE: out-of-bounds read in fn+0x1/0x2`
fn kfence(at: &Candidate<'_, '_>) -> Option<Header> {
    let (what, named) = word_and_function(after(at.message(), "KFENCE:")?);
    let kind = match what.as_str() {
        "invalid free" => &KFENCE_FREE,
        "memory corruption" => &KFENCE_CORRUPTION,
        _ => &KFENCE,
    };
    let types = [
        ("invalid free", "KFENCE-INVALID-FREE"),
        ("memory corruption", "KFENCE-MEMORY-CORRUPTION"),
        ("use-after-free write", "KFENCE-USE-AFTER-FREE-WRITE"),
        ("use-after-free", "KFENCE-USE-AFTER-FREE-READ"),
        ("out-of-bounds write", "KFENCE-WRITE"),
        ("invalid write", "KFENCE-WRITE"),
    ];
    let known = types.iter().find(|(start, _)| what.starts_with(start));
    let r#type = known.map_or("KFENCE-READ", |(_, r#type)| *r#type);
    Some(Header::new(kind, format!("KFENCE: {what}")).naming(named).typed(Some(r#type)))
}

pub(super) static UBSAN: Kind = Kind {
    headers: &[header(UBSAN_MARKER, "UBSAN: ").read_by(ubsan)],
    r#type: Some("UBSAN"),
    ..UBSAN_REPORT
};

/// An index out of bounds: [`ubsan`] reads its header.
pub(super) static UBSAN_INDEX: Kind = Kind { alternate: Some(BAD_ACCESS), ..UBSAN_REPORT };

/// What UBSAN's reports have in common.
const UBSAN_REPORT: Kind = Kind {
    r#type: Some("UBSAN"),
    blame: BlameSource::FirstStack,
    skip: &["@ubsan"],
    effect: Effect::Warning,
    panic_reasons: &["UBSAN: panic_on_warn"],
    ..Kind::named("ubsan")
};

/// `UBSAN: shift-out-of-bounds in file:line`
fn ubsan(at: &Candidate<'_, '_>) -> Option<Header> {
    let what = at.message();
    let word = match memchr::memmem::find(what, b" in ") {
        Some(end) => what.get(..end)?,
        None => what,
    };
    let word = scrubbed(word).to_ascii_lowercase().replace(' ', "-");
    if word.is_empty() || word.len() > 60 {
        return None;
    }
    let is_index = word.contains("out-of-bounds") && word.contains("index");
    let kind = if is_index { &UBSAN_INDEX } else { &UBSAN };
    let word = word.replace("undefined-behavior", "undefined-behaviour");
    let header = Header::new(kind, format!("UBSAN: {word}"));
    Some(match word.starts_with("array-index") {
        true => header.typed(Some("MEMORY_SAFETY_UBSAN")),
        false => header,
    })
}

/// What a report is of, and the function that it names.
fn word_and_function(report: &[u8]) -> (String, Option<String>) {
    let what = report.trim_ascii();
    let end = memchr::memmem::find(what, b" in ").unwrap_or(what.len());
    let word = scrubbed(what.get(..end).unwrap_or(what));
    (word, after(what, " in ").and_then(function))
}
