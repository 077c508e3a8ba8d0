//! What a scripted QEMU is, and what goes wrong with it: data alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::core_stream::CoreStream;
use crate::scripted_qemu::PANICKED;

/// What QEMU is, and what goes wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// QEMU's version. What came later, it does not know.
    pub(crate) version: (u32, u32, u32),
    /// The guest's name.
    pub(crate) name: Option<String>,
    /// The run state at the start.
    pub(crate) state: &'static str,
    /// Whether the monitor greets its clients.
    pub(crate) greets: bool,
    /// Commands that are refused, with class and text.
    pub(crate) refuse: BTreeMap<&'static str, (&'static str, &'static str)>,
    /// Commands that are not answered before [`ScriptedQemu::answer_all`]; of a dump of one
    /// range alone, `part of dump-guest-memory`.
    pub(crate) delay: BTreeSet<&'static str>,
    /// What the dump sends.
    pub(crate) stream: Arc<CoreStream>,
    /// How the dump goes.
    pub(crate) dump: DumpPlan,
    /// How often `query-dump` tells of another client's dump.
    pub(crate) other_dump: u32,
    /// What another client does to the guest, and when.
    pub(crate) meddling: Vec<(When, Meddling)>,
    /// What happens after `cont`.
    pub(crate) cont: ContPlan,
    /// Whether a reset ends QEMU: `-no-reboot`.
    pub(crate) no_reboot: bool,
    /// What the first vCPU tells of the panic.
    pub(crate) crash_information: Option<Value>,
    /// How much memory QEMU says that the guest has; else what the dump has.
    pub(crate) memory_bytes: Option<u64>,
    /// The types of its devices.
    pub(crate) devices: &'static [&'static str],
    /// Whether its memory is encrypted.
    pub(crate) encrypted: bool,
    /// What it says of where its guest's memory is in its process. `None`: nothing.
    pub(crate) direct: Option<DirectPlan>,
    /// How dumps of ranges go, once its memory is read for a core. `None`: it has none of ranges.
    pub(crate) ranges: Option<RangesPlan>,
}

impl Default for Script {
    /// A guest of 6 MiB that panicked, in a QEMU where nothing goes wrong.
    fn default() -> Self {
        Self {
            version: (7, 2, 22),
            name: Some("web-3".to_owned()),
            state: PANICKED,
            greets: true,
            refuse: BTreeMap::new(),
            delay: BTreeSet::new(),
            stream: Arc::new(CoreStream::of_guest(6)),
            dump: DumpPlan::Whole,
            other_dump: 0,
            meddling: Vec::new(),
            cont: ContPlan::Runs,
            no_reboot: false,
            crash_information: None,
            memory_bytes: None,
            devices: &["pvpanic", "vmcoreinfo", "virtio-net-pci"],
            encrypted: false,
            direct: None,
            ranges: None,
        }
    }
}

/// What QEMU says of where its guest's memory is in its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectPlan {
    /// The truth.
    Works,
    /// What is not as QEMU 7.2 prints it.
    OtherText,
    /// That the memory's addresses are no memory.
    NotTranslated,
    /// Addresses of the second block that are a page too high.
    Shifted,
    /// Addresses of a block's end that do not fit those of its beginning.
    Apart,
    /// Addresses at which the process has nothing.
    Nowhere,
    /// Only the first block.
    Lacking,
    /// Another region when it is asked again.
    Moves,
    /// The truth, and pages that are others after the read.
    Changes,
    /// The truth, and it ends after the read, before its pages are compared.
    Ends,
}

/// How dumps of ranges go that are read for a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangesPlan {
    /// As they should.
    Work,
    /// The second sends half of its bytes, and is well.
    Short,
    /// The second sends a byte more.
    Long,
    /// The second sends half of its bytes, and fails.
    Fails,
    /// The second is refused: there is another dump.
    Refused,
    /// The second is of less memory than was asked for.
    Clipped,
    /// The client is thrown out in the middle of the second.
    ClientLost,
    /// QEMU ends in the middle of the second.
    Killed,
    /// The notes are others afterwards.
    OtherNotes,
}

/// How a dump goes. A part is its length in bytes, from the beginning of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpPlan {
    /// As it should.
    Whole,
    /// Sends this part, and says that it completed.
    Short(usize),
    /// Sends all, and this number of bytes more.
    Long(usize),
    /// Sends this number of bytes that are no core.
    Junk(usize),
    /// Fails after this part, with QEMU's text.
    Fails(usize, &'static str),
    /// Says that it completed before the last bytes of this number are sent.
    CompletedEarly(usize),
    /// Sends all and never tells.
    EventLost,
    /// Sends this part, and no more until its pipe is closed.
    Stalls(usize),
    /// Sends this part, and does not even notice that its pipe is closed.
    HangsForGood(usize),
    /// Another client resets the guest after this part, and the dump goes on.
    ResetMeanwhile(usize),
    /// QEMU is killed after this part.
    Killed(usize),
    /// The client is thrown out after this part, and the dump goes on.
    ClientLost(usize),
    /// The same, once all about the guest was asked.
    ClientLostLate(usize),
    /// The monitor is gone for good after this part, and the dump goes on.
    MonitorLost(usize),
    /// The client is thrown out after this part, the dump goes on, and no client is
    /// greeted from then on.
    MonitorSilent(usize),
}

/// When another client does something to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the command of this name is run, when it comes for the n-th time.
    Before(&'static str, usize),
    /// When its own dump is completed.
    OtherDumpCompletes,
    /// Straight after the capture's dump: the events follow `DUMP_COMPLETED` at once.
    DumpCompletes,
    /// While the capture's connection is lost.
    Disconnected,
}

/// What another client does to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meddling {
    /// Resets it: it is in `prelaunch` then.
    Resets,
    /// Resets it and lets it run, as libvirt's `coredump-restart` does.
    Restarts,
    /// Lets it run.
    Resumes,
    /// Lets it run, and it panics again.
    PanicsAgain,
    /// Lets it run, and pauses it.
    ResumesAndPauses,
    /// Shuts it down, in a QEMU that stays (`-no-shutdown`).
    ShutsDown,
    /// Dumps it, for this number of questions and refusals.
    Dumps(u32),
    /// Presses its power button, which a stopped guest does not notice.
    PowersDown,
    /// Nothing: QEMU is late with its report on a dump that was ended before.
    FailsAnEarlierDump,
}

/// What happens after `cont`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContPlan {
    /// The guest runs.
    Runs,
    /// The state does not change.
    Stays,
    /// The guest reports a panic this number of times before it runs.
    PanicsAgain(u32),
    /// The guest runs, and a moment later reports its panic once more.
    PanicsLater,
}
