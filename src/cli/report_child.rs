//! The hidden command that makes a report for a process that holds a guest.
//!
//! Not for people: its standard streams are sockets of that process ([`crate::sandbox`]).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic;
use std::sync::Arc;

use super::exit::Exit;
use super::print;
use super::ui::say;
use crate::corefile::pack::{MAX_STACKS, UsedChunks};
use crate::corefile::read::bytes::{Bytes, PlainFile};
use crate::corefile::read::chunked::ChunkedFile;
use crate::encryption::AgeFile;
use crate::held;
use crate::kernel::Kernel;
use crate::kernel::backtrace::read_sleepers;
use crate::kernel::find::SearchDepth;
use crate::kernel::leave_out::{self, Planned};
use crate::sandbox::Task;
use crate::sandbox::confine;
use crate::sandbox::limits::{Limits, Reads};
use crate::sandbox::plan::Plan;
use crate::sandbox::report::Answer;
use crate::triage::report::Report;
use crate::vmcore::Vmcore;

/// How many chunks a triage pack has at most if the core has no kernel that is found.
const MOST_WITHOUT_KERNEL: usize = 64;

/// Reads the request, confines itself, and answers.
pub(super) fn run() -> anyhow::Result<Exit> {
    // The other process reports the last line: all of a panic's message is on one.
    panic::set_hook(Box::new(|info| say(&info.to_string().replace('\n', " "))));
    let mut channel = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let memory = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    // The request is that of the other process; nothing in it of the guest is parsed.
    let (task, head) = Task::read(&channel)?;
    let search = match &task {
        Task::Report(request) => request.options.search,
        Task::Print(request) => request.search,
    };
    let reads = match search {
        SearchDepth::All => Reads::Unlimited,
        SearchDepth::Bounded => Reads::Kernel,
    };
    let unconfined = confine::child(&Limits::of(&memory.metadata()?, reads));
    let request = match task {
        Task::Report(request) => request,
        Task::Print(request) => {
            let core = held::open(&request.path, &head, UnixStream::from(OwnedFd::from(memory)))?;
            let answer = print::answer(&core, &request);
            serde_json::to_writer(io::BufWriter::new(&channel), &answer)?;
            channel.flush()?;
            return Ok(Exit::Done);
        }
    };
    let core = if request.held {
        held::open(&request.path, &head, UnixStream::from(OwnedFd::from(memory)))?
    } else {
        let file: Arc<dyn Bytes> = Arc::new(PlainFile::new(memory)?);
        let file = match &request.key {
            Some(key) => Arc::new(AgeFile::with_key(file, key)?),
            None => file,
        };
        match request.used_chunks {
            true => Vmcore::of_bytes_recorded(file, &request.path)?,
            false => Vmcore::of_bytes(file, &request.path)?,
        }
    };
    if let Some(pages) = &request.pages {
        let Planned { left_out, warnings } = leave_out::plan(&core, pages.parse()?);
        Plan { left_out, warnings, unconfined }.write(io::BufWriter::new(&channel))?;
        return Ok(Exit::Done);
    }
    let families = request.families()?;
    let metadata = request.metadata.or_else(|| core.metadata());
    let make = |then: &mut dyn FnMut(&Kernel)| {
        Box::new(Report::made(&core, metadata.as_ref(), &families, request.options, then))
    };
    let (report, used_chunks) = match core.chunked().filter(|_| request.used_chunks) {
        Some(chunked) => report_and_chunks(chunked, make),
        None => (make(&mut |_| ()), None),
    };
    let answer = Answer { report, unconfined, used_chunks };
    serde_json::to_writer(io::BufWriter::new(&channel), &answer)?;
    channel.flush()?;
    Ok(Exit::Done)
}

/// Makes the report, and then reads the stacks of the tasks, as many as a triage pack has room for.
fn report_and_chunks(
    core: &ChunkedFile,
    make: impl FnOnce(&mut dyn FnMut(&Kernel)) -> Box<Report>,
) -> (Box<Report>, Option<UsedChunks>) {
    let mut of_report = None;
    let report = make(&mut |kernel| {
        let (_, before) = of_report.insert(core.used());
        let most = before.saturating_add(MAX_STACKS);
        read_sleepers(kernel, || core.used_bytes() < most);
    });
    let (mut all, _) = core.used();
    // All of memory was searched for a kernel, and none was found.
    if of_report.is_none() && all.len() > MOST_WITHOUT_KERNEL {
        return (report, None);
    }
    let count = of_report.map_or(all.len(), |(report, _)| report.len());
    let stacks = all.split_off(count.min(all.len()));
    (report, Some(UsedChunks { report: all, stacks }))
}
