//! A record of the index: which files were read, and what they said.
//!
//! ```text
//! metadata   stamp or nothing: inode, length, seconds and nanoseconds of the last change
//! report     the same
//! metadata   head or nothing
//! report     head or nothing
//! ```

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use vmcore_formats::cursor::Cursor;
use vmcore_formats::endian::Endian;
use vmcore_formats::text::{MAX_NAME, MAX_RELEASE, MAX_TEXT, MAX_TITLE};

use super::codec::{flag, number, option, put_number, put_option, put_text, put_time, text, time};
use crate::metadata::CaptureResult;
use crate::store::metadata_head::MetadataHead;
use crate::store::report_head::{MAX_ALTERNATES, ReportHead};

/// What distinguishes a file from every other, and from itself after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Stamp {
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a regular file.
    pub(in crate::store) fn of(file: &fs::Metadata) -> Option<Self> {
        let changed = (file.ctime(), file.ctime_nsec());
        file.is_file().then(|| Self { inode: file.ino(), length: file.len(), changed })
    }

    /// The file's length.
    pub(in crate::store) fn length(&self) -> u64 {
        self.length
    }

    /// Whether it changed for the last time so long ago.
    fn is_settled(&self, now: SystemTime, settled: Duration) -> bool {
        let before = now.checked_sub(settled).unwrap_or(SystemTime::UNIX_EPOCH);
        let before = before.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let before = (i64::try_from(before.as_secs()).unwrap_or(0), before.subsec_nanos().into());
        self.changed <= before
    }
}

/// The files of an entry that a listing reads; `None` for one that is not there, or is no
/// regular file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Stamps {
    pub(in crate::store) metadata: Option<Stamp>,
    pub(in crate::store) report: Option<Stamp>,
}

impl Stamps {
    /// Whether a change since would show.
    pub(in crate::store) fn are_settled(&self, now: SystemTime, settled: Duration) -> bool {
        [self.metadata, self.report].iter().flatten().all(|stamp| stamp.is_settled(now, settled))
    }
}

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::store) struct Heads {
    pub(in crate::store) metadata: Option<MetadataHead>,
    pub(in crate::store) report: Option<ReportHead>,
}

/// The same, to be written.
pub(in crate::store) type HeadsOf<'a> = (Option<&'a MetadataHead>, Option<&'a ReportHead>);

/// A record in bytes.
pub(super) fn encode(stamps: &Stamps, (metadata, report): HeadsOf<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for stamp in [stamps.metadata, stamps.report] {
        put_option(&mut out, stamp, put_stamp);
    }
    put_option(&mut out, metadata, put_metadata);
    put_option(&mut out, report, put_report);
    out
}

/// What a record says, if it is of these files.
pub(super) fn decode(bytes: &[u8], now: &Stamps) -> Option<Heads> {
    let mut from = Cursor::new(bytes, Endian::Little);
    let stamps = Stamps { metadata: option(&mut from, stamp)?, report: option(&mut from, stamp)? };
    if stamps != *now {
        return None;
    }
    let heads =
        Heads { metadata: option(&mut from, metadata)?, report: option(&mut from, report)? };
    (from.left() == 0).then_some(heads)
}

fn put_stamp(out: &mut Vec<u8>, stamp: Stamp) {
    let Stamp { inode, length, changed: (seconds, nanoseconds) } = stamp;
    out.extend(inode.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(seconds.to_le_bytes());
    out.extend(nanoseconds.to_le_bytes());
}

fn stamp(from: &mut Cursor<'_>) -> Option<Stamp> {
    let (inode, length) = (from.u64("inode").ok()?, from.u64("length").ok()?);
    let mut number = |what| from.array(what).ok().map(i64::from_le_bytes);
    Some(Stamp { inode, length, changed: (number("seconds")?, number("nanoseconds")?) })
}

fn put_metadata(out: &mut Vec<u8>, head: &MetadataHead) {
    let MetadataHead {
        guest,
        kernel,
        memory_bytes,
        started,
        held_seconds,
        result,
        core_left_out,
        note,
        title,
        signature,
    } = head;
    for text in [guest, kernel, note, title, signature] {
        put_text(out, text.as_deref());
    }
    put_number(out, *memory_bytes);
    put_number(out, held_seconds.map(f64::to_bits));
    put_time(out, *started);
    out.push(match result {
        CaptureResult::Capturing => 0,
        CaptureResult::Complete => 1,
        CaptureResult::Incomplete => 2,
    });
    out.push(u8::from(*core_left_out));
}

fn metadata(from: &mut Cursor<'_>) -> Option<MetadataHead> {
    Some(MetadataHead {
        guest: text(from, MAX_TEXT)?,
        kernel: text(from, MAX_RELEASE)?,
        note: text(from, MAX_TITLE)?,
        title: text(from, MAX_TITLE)?,
        signature: text(from, MAX_NAME)?,
        memory_bytes: number(from)?,
        held_seconds: number(from)?.map(f64::from_bits),
        started: time(from)?,
        result: match from.u8("result").ok()? {
            0 => CaptureResult::Capturing,
            1 => CaptureResult::Complete,
            2 => CaptureResult::Incomplete,
            _ => return None,
        },
        core_left_out: flag(from)?,
    })
}

fn put_report(out: &mut Vec<u8>, head: &ReportHead) {
    let ReportHead { schema, title, alt_titles, signature, weak, is_bugcheck, release } = head;
    for text in [schema, title, signature, release] {
        put_text(out, text.as_deref());
    }
    put_option(out, *weak, |out, weak| out.push(u8::from(weak)));
    out.push(u8::from(*is_bugcheck));
    let titles = alt_titles.iter().take(MAX_ALTERNATES);
    out.push(u8::try_from(titles.len()).unwrap_or(0));
    titles.for_each(|title| put_text(out, Some(title)));
}

fn report(from: &mut Cursor<'_>) -> Option<ReportHead> {
    let (schema, title) = (text(from, MAX_NAME)?, text(from, MAX_TITLE)?);
    let (signature, release) = (text(from, MAX_NAME)?, text(from, MAX_RELEASE)?);
    let weak = option(from, flag)?;
    let is_bugcheck = flag(from)?;
    let count = usize::from(from.u8("number of titles").ok()?).min(MAX_ALTERNATES);
    let titles = (0..count).map(|_| text(from, MAX_TITLE)?);
    let alt_titles = titles.collect::<Option<Vec<_>>>()?;
    Some(ReportHead { schema, title, alt_titles, signature, weak, is_bugcheck, release })
}
