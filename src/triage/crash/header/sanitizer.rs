//! KASAN, KMSAN, KCSAN, KFENCE and UBSAN.

use super::{At, Header, behind, function, has};
use crate::triage::crash::kind::Kind;
use crate::triage::crash::scrub::scrubbed;

/// How many lines behind its header KASAN says whether it was a read.
const ACCESS_WITHIN: usize = 8;

/// `KASAN: use-after-free in fn+0x1/0x2`, and `Read of size 4 at addr …` below.
pub(super) fn kasan(at: &At<'_, '_>, report: &[u8]) -> Header {
    let what = report.trim_ascii();
    if what.starts_with(b"double-free") || what.starts_with(b"invalid-free") {
        let function = behind(what, " in ").and_then(function);
        return Header::new(Kind::KasanFree, "KASAN: invalid-free").naming(function);
    }
    let access = at.following(ACCESS_WITHIN).find_map(|line| {
        let line = line.trim_ascii_start();
        [
            ("Read of size", "Read"),
            ("Write of size", "Write"),
            ("Read at addr", "Read"),
            ("Write at addr", "Write"),
        ]
        .into_iter()
        .find(|(start, _)| line.starts_with(start.as_bytes()))
        .map(|(_, access)| access)
    });
    let word = scrubbed(what.split(|byte| *byte == b' ').next().unwrap_or_default());
    let function = behind(what, " in ").and_then(function);
    match access {
        // An address without an object near it: the first kernels named no function there.
        Some(access) if has(what, " on address") => {
            Header::new(Kind::Message, format!("KASAN: {word} {access}"))
        }
        Some(access) if !word.is_empty() => {
            Header::new(Kind::Kasan, format!("KASAN: {word} {access}")).naming(function)
        }
        _ => Header::new(Kind::Message, format!("KASAN: {}", scrubbed(what)).trim()).damaged(),
    }
}

/// `KMSAN: uninit-value in fn+0x1/0x2`
pub(super) fn kmsan(report: &[u8]) -> Header {
    let what = report.trim_ascii();
    let end = memchr::memmem::find(what, b" in ").unwrap_or(what.len());
    let word = scrubbed(what.get(..end).unwrap_or(what));
    let kind = if has(word.as_bytes(), "usb-infoleak") { Kind::KmsanUsb } else { Kind::Kmsan };
    let header = Header::new(kind, format!("KMSAN: {word}").trim());
    header.naming(behind(what, " in ").and_then(function))
}

/// `KCSAN: data-race in fn+0x1/0x2 / fn+0x3/0x4`: both functions are the bug.
pub(super) fn kcsan(report: &[u8]) -> Header {
    let title = scrubbed(report.trim_ascii());
    match title.rsplit_once(" in ") {
        Some((class, one)) if !one.contains('/') => {
            Header::new(Kind::Kcsan, format!("KCSAN: {class}")).naming(function(one.as_bytes()))
        }
        Some((class, two)) => {
            let names: Vec<_> =
                two.split(" / ").filter_map(|name| function(name.as_bytes())).collect();
            Header::new(Kind::Kcsan, format!("KCSAN: {class} in {}", names.join(" / ")))
        }
        None => Header::new(Kind::Kcsan, format!("KCSAN: {title}")),
    }
}

/// `KFENCE: out-of-bounds read in fn+0x1/0x2`
pub(super) fn kfence(report: &[u8]) -> Header {
    let what = report.trim_ascii();
    let end = memchr::memmem::find(what, b" in ").unwrap_or(what.len());
    let class = scrubbed(what.get(..end).unwrap_or(what));
    let kind = match class.as_str() {
        "invalid free" => Kind::KfenceFree,
        "memory corruption" => Kind::KfenceCorruption,
        _ => Kind::Kfence,
    };
    Header::new(kind, format!("KFENCE: {class}")).naming(behind(what, " in ").and_then(function))
}

/// `UBSAN: shift-out-of-bounds in file:line`
pub(super) fn ubsan(at: &At<'_, '_>) -> Option<Header> {
    let what = at.message();
    let word = match memchr::memmem::find(what, b" in ") {
        Some(end) => what.get(..end)?,
        None => what,
    };
    let word = scrubbed(word).to_ascii_lowercase().replace(' ', "-");
    if word.is_empty() || word.len() > 60 {
        return None;
    }
    let kind = if word.contains("out-of-bounds") && word.contains("index") {
        Kind::UbsanIndex
    } else {
        Kind::Ubsan
    };
    Some(Header::new(
        kind,
        format!("UBSAN: {}", word.replace("undefined-behavior", "undefined-behaviour")),
    ))
}
