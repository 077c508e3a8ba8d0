//! `vmcorectl hook`: a management daemon's hook spools an event, and returns at once.
//!
//! A daemon waits for its hook, and takes its exit code and its stdout for an answer: libvirt
//! ends a guest whose `reconnect` hook fails, and migrates the XML that a hook prints. So the
//! command always ends with 0, prints nothing to stdout, and asks no daemon for anything. Its
//! arguments do not go through clap, which would end it with 2.

use std::ffi::OsString;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmcore_formats::domain_xml::MAX_XML;

use super::exit::Exit;
use super::spool_folder::SpoolArgs;
use super::ui;
use crate::spool::{event_of, put};

/// How long a daemon is given to write the XML.
const STDIN_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the whole command may take: the spool's file system or stderr may hang.
const TIMEOUT: Duration = Duration::from_secs(2);

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
        Ok(Some(event)) => put(&hook.spool.folder(), &event).map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = spooled {
        ui::error(&error.context("the hook spooled nothing"));
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
