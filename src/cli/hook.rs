//! `vmcorectl hook`: a management daemon's hook spools an event, and returns at once.
//!
//! A daemon waits for its hook, and takes its exit code and its stdout for an answer: libvirt
//! ends a guest whose `reconnect` hook fails, and migrates the XML that a hook prints. So the
//! command always ends with 0, prints nothing to stdout, and asks no daemon for anything. Its
//! arguments do not go through clap, which would end it with 2.
//!
//! A process that waits for a disk that hangs cannot end, nor can its daemon go on. So a child
//! writes, which is left behind if it takes too long, and has no stream of the daemon's.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmcore_formats::domain_xml::MAX_XML;

use super::exit::Exit;
use super::spool_folder::SpoolArgs;
use super::ui;
use crate::spool::{SpooledEvent, event_of, put};

/// How long a daemon is given to write the XML.
const STDIN_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the whole command may take: the spool's file system or stderr may hang.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The argument by which the child is started, with the spool behind it. The event is its stdin.
const CHILD: &str = "--spool-from-stdin";
/// The most bytes of an event, and of what the child complains of.
const MAX_EVENT: u64 = 64 * 1024;

/// Spool an event of a management daemon for `watch`, and return at once
///
/// Always exits with 0 and prints nothing to stdout, whatever goes wrong: daemons take both for
/// an answer. samples/hooks has the scripts that call it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Kinds, and what they are called with:
  libvirt  NAME OPERATION SUBOPERATION EXTRA, the domain's XML on stdin
  proxmox  VMID PHASE
  incus    NAME ACTION [PROJECT]
  other    started|stopped|crashed GUEST [SOCKET]")]
pub(super) struct HookArgs {
    #[command(flatten)]
    spool: SpoolArgs,
    /// Kind of hook: libvirt, proxmox, incus or other
    kind: String,
    /// What the daemon calls its hook with
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the command, if the program's arguments are those of a hook.
pub(super) fn run_if_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != "hook" {
        return None;
    }
    let mut arguments: Vec<_> = arguments.collect();
    let asks = ["--help", "-h", "--version", "-V"];
    if asks.iter().any(|ask| arguments.first().is_some_and(|first| first == ask)) {
        return None;
    }
    if let [first, folder] = arguments.as_slice()
        && first == CHILD
    {
        return Some(put_from_stdin(Path::new(folder)));
    }
    let spool = spool_option(&mut arguments);
    let mut arguments = arguments.into_iter();
    let kind = arguments.next().unwrap_or_default().to_string_lossy().into_owned();
    run(HookArgs { spool, kind, arguments: arguments.collect() });
    Some(ExitCode::SUCCESS)
}

/// Spools an event, in limited time.
pub(super) fn run(arguments: HookArgs) -> Exit {
    let (done, ended) = bounded::<()>(0);
    let work = move || {
        spool_event(&arguments);
        drop(done);
    };
    // Without a thread there is no event, and the daemon goes on.
    if thread::Builder::new().spawn(work).is_ok() {
        let _ = ended.recv_timeout(TIMEOUT);
    }
    Exit::Done
}

/// Takes `--spool DIR` off the front.
fn spool_option(arguments: &mut Vec<OsString>) -> SpoolArgs {
    let first = arguments.first().map(|first| first.to_string_lossy().into_owned());
    let (spool, taken) = match first.as_deref() {
        Some("--spool") => (arguments.get(1).map(PathBuf::from), 2),
        Some(other) => match other.strip_prefix("--spool=") {
            Some(folder) => (Some(PathBuf::from(folder)), 1),
            None => (None, 0),
        },
        None => (None, 0),
    };
    arguments.drain(..taken.min(arguments.len()));
    SpoolArgs { spool }
}

fn spool_event(hook: &HookArgs) {
    let xml = if hook.kind == "libvirt" { read_stdin() } else { None };
    let arguments: Vec<_> =
        hook.arguments.iter().map(|text| text.to_string_lossy().into_owned()).collect();
    let spooled = match event_of(&hook.kind, &arguments, xml.as_deref()) {
        Ok(None) => Ok(()),
        Ok(Some(event)) => put_by_child(&hook.spool.folder(), &event),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = spooled {
        ui::error(&error.context("the hook spooled nothing"));
    }
}

/// Has the event written by a child.
fn put_by_child(folder: &Path, event: &SpooledEvent) -> anyhow::Result<()> {
    let child = Command::new("/proc/self/exe")
        .args(["hook", CHILD])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    // A system that starts no process may still write.
    let Ok(mut child) = child else { return Ok(put(folder, event)?) };
    if let Some(stdin) = child.stdin.take() {
        serde_json::to_writer(stdin, event)?;
    }
    let mut complaint = String::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(MAX_EVENT).read_to_string(&mut complaint)?;
    }
    match child.wait()?.success() {
        true => Ok(()),
        false => anyhow::bail!("{}", complaint.trim_end()),
    }
}

/// The child: writes the event that its stdin has.
fn put_from_stdin(folder: &Path) -> ExitCode {
    let mut text = Vec::new();
    let spooled = stdin()
        .take(MAX_EVENT)
        .read_to_end(&mut text)
        .map_err(anyhow::Error::from)
        .and_then(|_| Ok(serde_json::from_slice(&text)?))
        .and_then(|event| Ok(put(folder, &event)?));
    match spooled {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What the daemon writes to stdin, if it comes in time.
///
/// An XML that is too long is not read to its end: libvirt does not mind.
fn read_stdin() -> Option<String> {
    let stdin = stdin();
    if stdin.is_terminal() {
        return None;
    }
    let deadline = Instant::now() + STDIN_TIMEOUT;
    let mut text = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while text.len() <= MAX_XML {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        if poll(&mut ready, Some(&Timespec::try_from(left).ok()?)).ok()? == 0 {
            return None;
        }
        match rustix::io::read(&stdin, &mut piece).ok()? {
            0 => return String::from_utf8(text).ok(),
            length => text.extend_from_slice(piece.get(..length)?),
        }
    }
    None
}
