//! Memory management's own checks.

use super::candidate::function;
use super::{BUG, BlameSource, Candidate, Header, Kind, StackRule, header};
use crate::triage::crash::text::after;

pub(super) static ROWS: &[&Kind] = &[&PAGE_STATE, &DENTRY, &LEAK];

/// `BUG: Bad page state in process x  pfn:1`
pub(super) static PAGE_STATE: Kind = Kind {
    headers: &[
        header(BUG, "BUG: Bad page state").starting("Bad page state"),
        header(BUG, "BUG: Bad page cache").starting("Bad page cache"),
    ],
    blame: BlameSource::BelowLine("page last allocated"),
    skip: &["@page"],
    stack: StackRule::IfAnnounced,
    ..Kind::named("memory state")
};

/// `BUG: Dentry 1{i=2,n=name} still in use (1) [unmount of ext4 sda1]`
pub(super) static DENTRY: Kind = Kind {
    headers: &[header(BUG, "BUG: Dentry still in use")
        .starting("Dentry ")
        .containing("still in use")
        .read_by(dentry)],
    ..Kind::named("memory state")
};

/// With the words in brackets in another title.
fn dentry(at: &Candidate<'_, '_>) -> Option<Header> {
    let how = after(at.message(), "[").map(|how| how.strip_suffix(b"]").unwrap_or(how));
    let how = how.map(|how| String::from_utf8_lossy(how).into_owned());
    let by = how.as_deref().and_then(|how| function(how.as_bytes()));
    let also = how.map(|how| format!("BUG: Dentry still in use [{how}]"));
    Some(Header { also, ..at.found().naming(by) })
}

/// kmemleak's `BUG: memory leak`.
pub(super) static LEAK: Kind = Kind {
    headers: &[header(BUG, "memory leak").starting("memory leak")],
    r#type: Some("LEAK"),
    blame: BlameSource::BelowLine("backtrace"),
    skip: &["@leak"],
    stack: StackRule::IfAnnounced,
    ..Kind::named("memory leak")
};
