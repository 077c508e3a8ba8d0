//! A scripted guest and a store: what nearly every test begins with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vmcorectl::corefile::read::stored_metadata::{parse, text_in_core};
use vmcorectl::metadata::{CaptureResult, Metadata};
use vmcorectl::vmcore::Vmcore;

use crate::core_stream::CoreStream;
use crate::scripted_qemu::{Script, ScriptedQemu, TEST_TIMEOUT};
use crate::tool::{self, Listing, Ran};

/// A guest, and the store that its cores go to.
pub(crate) struct Setting {
    /// The guest.
    pub(crate) qemu: ScriptedQemu,
    /// Where its cores go.
    pub(crate) store: PathBuf,
    _folder: TempDir,
}

impl Setting {
    /// A guest by its script, and an empty store.
    pub(crate) fn new(script: Script) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { qemu: ScriptedQemu::start(script), store: folder.path().join("s"), _folder: folder }
    }

    /// The same, with the store elsewhere.
    pub(crate) fn with_store(script: Script, store: &Path) -> Self {
        Self { store: store.to_owned(), ..Self::new(script) }
    }

    /// What is typed to capture the guest.
    pub(crate) fn arguments(&self, more: &[&str]) -> Vec<OsString> {
        let mut arguments = vec!["capture".into(), self.qemu.socket().into_os_string()];
        arguments.extend(["--store".into(), self.store.clone().into_os_string()]);
        // The disk that tests run on may be nearly full.
        if !more.contains(&"--keep-free") {
            arguments.extend(["--keep-free".into(), "0".into()]);
        }
        arguments.extend(more.iter().map(OsString::from));
        arguments
    }

    /// Captures the guest.
    pub(crate) fn capture(&self, more: &[&str]) -> Ran {
        finish(self.start(more))
    }

    /// Starts a capture, to do something to it.
    pub(crate) fn start(&self, more: &[&str]) -> Child {
        tool::start(self.arguments(more))
    }

    /// What is in the store.
    pub(crate) fn listing(&self) -> Listing {
        tool::listing(&self.store)
    }

    /// Checks that the store has nothing at all of this guest.
    #[track_caller]
    pub(crate) fn nothing_is_stored(&self) {
        assert_eq!(self.listing(), Listing::default());
    }

    /// The metadata of the only entry, whose core is checked to be whole.
    #[track_caller]
    pub(crate) fn whole_entry(&self, stream: &CoreStream) -> Metadata {
        let listing = self.listing();
        assert_eq!((listing.entries.len(), listing.incomplete.len()), (1, 0), "{listing:?}");
        check_whole(&listing.entries[0], stream)
    }

    /// The metadata of the only incomplete entry, whose core is checked as far as it goes.
    #[track_caller]
    pub(crate) fn incomplete_entry(&self, stream: &CoreStream) -> Metadata {
        let listing = self.listing();
        assert_eq!((listing.entries.len(), listing.incomplete.len()), (0, 1), "{listing:?}");
        let metadata = check_core(&listing.incomplete[0], stream);
        assert_eq!(metadata.result, CaptureResult::Incomplete);
        assert!(metadata.failure.is_some(), "{metadata:#?}");
        metadata
    }
}

/// Checks that an entry has the whole core. Gives its metadata.
#[track_caller]
pub(crate) fn check_whole(entry: &Path, stream: &CoreStream) -> Metadata {
    let metadata = check_core(entry, stream);
    assert_eq!(metadata.result, CaptureResult::Complete);
    assert_eq!(metadata.failure, None);
    let core = metadata.core.as_ref().expect("a core");
    assert_eq!(core.bytes_read, stream.bytes.len() as u64);
    let unpacked = unpack(&entry.join("vmcore.elf.zst"));
    assert_eq!(stream.check_memory_of(&unpacked), stream.memory_bytes());
    metadata
}

/// Waits for a capture, which must not take forever.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Ran {
    let started = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if started.elapsed() > TEST_TIMEOUT {
            let _ = child.kill();
            panic!("the program hangs: {:#?}", tool::finish(child));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tool::finish(child)
}

/// The metadata that `--json` printed.
#[track_caller]
pub(crate) fn printed_by(ran: &Ran) -> Metadata {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Sends a signal to a capture.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the program is there");
}

/// Unpacks a core with zstd alone.
pub(crate) fn unpack(core: &Path) -> Vec<u8> {
    let file = std::fs::File::open(core).expect("a core");
    zstd::decode_all(file).expect("zstd unpacks it")
}

/// Checks what every stored core must be, whole or not. Gives its metadata.
#[track_caller]
fn check_core(entry: &Path, stream: &CoreStream) -> Metadata {
    let metadata = tool::metadata_of(entry);
    let path = entry.join("vmcore.elf.zst");
    let core = Vmcore::open(&path).expect("a core that opens in place");
    assert_eq!(core.chunked().and_then(|core| core.table().cut_off()), None, "a seek table");
    let carried = text_in_core(core.chunked().expect("chunks")).expect("metadata in it");
    assert_eq!(parse(&carried).expect("of this version"), metadata);
    stream.check_memory_of(&unpack(&path));
    metadata
}
