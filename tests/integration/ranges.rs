//! A guest whose core lacks pages, which are not even read: by a QEMU that follows a script,
//! and has the memory of the sample core.

use std::path::Path;
use std::sync::Arc;

use vmcorectl::metadata::{CaptureResult, MemorySource, Metadata, SourceUsed};

use crate::core_stream::CoreStream;
use crate::script::{Meddling, RangesPlan, When};
use crate::scripted_qemu::Script;
use crate::setting::{Setting, unpack};
use crate::tool;

/// What is typed for a core of the kernel's pages, through the monitor.
const KERNEL: [&str; 4] = ["--source", "stream", "--pages", "kernel"];

fn script(plan: RangesPlan) -> Script {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/core/linux-6.1.zst");
    let stream = Arc::new(CoreStream::of_core(unpack(&core)));
    Script { stream, ranges: Some(plan), ..Script::default() }
}

/// The metadata of the guest's only entry.
#[track_caller]
fn captured(script: Script, more: &[&str]) -> Metadata {
    let setting = Setting::new(script);
    setting.capture(&[&KERNEL, more].concat()).expect(0);
    let listing = setting.listing();
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (1, 0), "{listing:?}");
    let metadata = tool::metadata_of(&listing.entries[0]);
    assert_eq!(metadata.result, CaptureResult::Complete);
    metadata
}

fn hash(metadata: &Metadata) -> String {
    metadata.core.as_ref().expect("a core").chunks_sha256.clone()
}

#[test]
fn what_is_left_out_is_not_read_and_the_core_is_the_same() {
    let all = script(RangesPlan::Work);
    let length = all.stream.bytes.len() as u64;
    let setting = Setting::new(all.clone());
    setting.capture(&KERNEL).expect(0);
    let dumps = setting.qemu.received("dump-guest-memory");
    assert!(dumps.iter().all(|dump| dump["detach"] != true), "{dumps:?}");
    // Of the plan, of the ranges, and to compare.
    assert_eq!(dumps.iter().filter(|dump| dump["begin"].is_null()).count(), 3);
    assert!(!setting.qemu.keeps_descriptors());
    let ranges = tool::metadata_of(&setting.listing().entries[0]);
    assert_eq!(ranges.source, Some(MemorySource { used: SourceUsed::Ranges, reason: None }));
    assert_eq!(ranges.warnings, [""; 0]);
    assert!(ranges.core.as_ref().unwrap().bytes_read < length);

    // The same plan, and QEMU's own dump after a doubt.
    let whole = captured(script(RangesPlan::Refused), &[]);
    assert_eq!(whole.source.as_ref().unwrap().used, SourceUsed::Stream);
    assert_eq!(whole.core.as_ref().unwrap().bytes_read, length);
    assert_eq!(hash(&ranges), hash(&whole));
}

#[test]
fn a_doubt_ends_in_the_stream() {
    let expected = hash(&captured(script(RangesPlan::Work), &["--spool", "0"]));
    for (plan, says) in [
        (RangesPlan::Short, "ended after"),
        (RangesPlan::Long, "goes on after"),
        (RangesPlan::Clipped, "bytes came"),
        (RangesPlan::Fails, "Bad address"),
        (RangesPlan::Refused, "dump in process"),
        (RangesPlan::OtherNotes, "changed while it was read"),
    ] {
        let metadata = captured(script(plan), &["--resume"]);
        let source = metadata.source.as_ref().unwrap();
        assert_eq!(source.used, SourceUsed::Stream, "{plan:?}: {source:?}");
        let reason = source.reason.clone().unwrap_or_default();
        assert!(reason.contains(says), "{plan:?}: {reason}");
        assert_eq!(hash(&metadata), expected, "{plan:?}");
    }
}

#[test]
fn a_client_that_is_thrown_out_connects_again_and_goes_on() {
    let metadata = captured(script(RangesPlan::ClientLost), &["--resume"]);
    assert_eq!(metadata.source.as_ref().unwrap().used, SourceUsed::Ranges);
    let lost = |warning: &String| warning.starts_with("the monitor was lost during the dump");
    assert!(metadata.warnings.iter().any(lost), "{metadata:#?}");
    assert_eq!(hash(&metadata), hash(&captured(script(RangesPlan::Work), &[])));
}

#[test]
fn a_qemu_that_ends_meanwhile_gives_no_whole_core() {
    let setting = Setting::new(script(RangesPlan::Killed));
    let arguments = [&KERNEL[..], &["--resume"]].concat();
    setting.capture(&arguments).expect(3).says("QEMU ended during the dump");
    let listing = setting.listing();
    assert_eq!((listing.entries.len(), listing.incomplete.len()), (0, 1), "{listing:?}");
}

#[test]
fn a_guest_that_another_client_changes_meanwhile_gives_no_whole_core() {
    for meddling in
        [Meddling::Resets, Meddling::Resumes, Meddling::PanicsAgain, Meddling::ShutsDown]
    {
        let when = When::Before("query-uuid", 1);
        let script = Script { meddling: vec![(when, meddling)], ..script(RangesPlan::Work) };
        let setting = Setting::new(script);
        let arguments = [&KERNEL[..], &["--quit"]].concat();
        let ran = setting.capture(&arguments).says("the guest changed during its dump");
        assert!(setting.listing().entries.is_empty(), "{meddling:?}: {ran:?}");
        assert!(!setting.qemu.actions().contains(&"quit".to_owned()), "{meddling:?}: {ran:?}");
    }
}

#[test]
fn the_stream_is_taken_where_little_is_left_out() {
    let setting = Setting::new(script(RangesPlan::Work));
    setting.capture(&["--source", "stream", "--pages", "offline"]).expect(0);
    let metadata = tool::metadata_of(&setting.listing().entries[0]);
    let source = metadata.source.unwrap();
    assert_eq!(source.used, SourceUsed::Stream);
    let reason = source.reason.unwrap();
    assert!(reason.contains("would take longer than the whole dump"), "{reason}");
}

#[test]
fn a_core_that_fits_without_what_is_left_out_is_not_refused() {
    let script = script(RangesPlan::Work);
    let all = script.stream.memory_bytes() as u64;
    let kept = captured(script.clone(), &[]).core.unwrap().bytes_core;
    // What QEMU uses of it is not known here: the forecast is a sixth of the memory.
    let limit = format!("{}", (all / 6).midpoint(kept / 6));
    let setting = Setting::new(script);
    let whole = setting.capture(&["--source", "stream", "--store-limit", &limit]);
    whole.expect(1).says("the store is full");
    let arguments = [&KERNEL[..], &["--store-limit", &limit]].concat();
    setting.capture(&arguments).expect(0);
    let listing = setting.listing();
    assert_eq!(listing.entries.len(), 1, "{listing:?}");
    assert_eq!(tool::metadata_of(&listing.entries[0]).warnings, [""; 0]);
}
