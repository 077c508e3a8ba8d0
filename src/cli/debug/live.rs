//! `debug --live`: a debugger on a guest that is held.
//!
//! ```text
//! this process                                     debug --held, which parses
//!   monitor ─► memory ─► mounted vmcore  ────────►   vmlinux made out of it, crash or drgn on it
//!          └─► QEMU's server ─► GdbProxy ────────►   gdb
//! ```
//!
//! This process holds the guest and parses none of its memory. It lets nothing of its own resume
//! the guest: if it is killed, QEMU notes that the connections are closed, and the guest stays
//! as it is; gdb loses its connection, and files in the mount give errors. Only breakpoints that
//! gdb had set at that time stay in the guest.

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, anyhow, bail};

use super::{DebugArgs, ProgramArg};
use crate::cli::exit::{Exit, UsageError};
use crate::cli::mount::mount;
use crate::cli::temporary_folder::TemporaryFolder;
use crate::cli::ui::say;
use crate::debugger::{self, GdbProxy, ProxyOutcome, Signals};
use crate::held::HeldError;
use crate::held::live::LiveGuest;
use crate::monitor::{GdbServer, Target};
use crate::mount::{Detached, VMCORE_FILE};

/// What is said with the choice of a debugger that needs no server.
const WITHOUT: &str = "--with drgn and --with crash read the guest's memory without it";

/// Attaches, runs the debugger to its end, and says how the guest is then.
pub(super) fn run(arguments: &DebugArgs) -> anyhow::Result<Exit> {
    let name = arguments.core.name();
    let target = arguments.connect.target(name)?;
    let with = arguments.with.unwrap_or(ProgramArg::Gdb);
    let is_gdb = matches!(with, ProgramArg::Gdb);
    if is_gdb && matches!(target, Target::Domain(_)) {
        return Err(no_server_of_libvirt().into());
    }
    let tell = |text: &str| {
        if !arguments.quiet {
            say(text)
        }
    };
    // From here on, a signal is the debugger's.
    let signals = Signals::held().context("cannot install signal handlers")?;
    let mut guest = LiveGuest::attach(&target, arguments.timeout)?;
    let gdb = if is_gdb { Some(OpenServer::on(&mut guest)?) } else { None };
    let socket = gdb.as_ref().map(|gdb| gdb.socket.clone());
    let ran = debug(arguments, &target, &mut guest, with, socket.as_deref(), signals);
    // Whatever became of the debugger.
    let outcome = gdb.map(|gdb| gdb.close(&mut guest));
    report(&mut guest, outcome.as_ref(), &tell);
    let (code, failed) = ran?;
    let expected = outcome.is_some_and(|outcome| outcome.ran);
    if let Some(error) = failed.filter(|_| !expected) {
        say(&format!("warning: the guest's memory was not served to the end: {error}"));
    }
    Ok(Exit::OfDebugger(code))
}

/// Mounts the guest's memory, and runs `debug` on that.
fn debug(
    arguments: &DebugArgs,
    target: &Target,
    guest: &mut LiveGuest,
    with: ProgramArg,
    socket: Option<&Path>,
    signals: Signals,
) -> anyhow::Result<(u8, Option<HeldError>)> {
    let core = guest.core(target)?;
    let folder = TemporaryFolder::new()?;
    let mounted = mount(&core, &folder.0, &say)?;
    let vmcore = mounted.folder().join(VMCORE_FILE);
    let mut command = Command::new("/proc/self/exe");
    command.args(words(arguments, &vmcore, with, socket));
    let (done, ended) = UnixStream::pair().context("cannot set up a socket")?;
    let running = thread::Builder::new().name("debugger".to_owned()).spawn(move || {
        let _ended = ended;
        debugger::run(command, signals)
    });
    let running = running.context("cannot start a thread")?;
    let failed = guest.serve(&done);
    let code = running.join();
    if mounted.unmount()? == Detached::Busy {
        say("warning: what the debugger left running still read from the guest");
    }
    match code {
        Ok(code) => Ok((code.context("cannot start the debugger's process")?, failed)),
        Err(_) => bail!("the thread of the debugger ended by a panic"),
    }
}

/// The arguments of the process that parses what is in the guest's memory.
fn words(
    arguments: &DebugArgs,
    vmcore: &Path,
    with: ProgramArg,
    socket: Option<&Path>,
) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["debug".into(), vmcore.into(), "--held".into()];
    words.extend(["--with".into(), debugger::Program::from(with).name().into()]);
    let mut option = |name: &str, path: Option<&Path>| {
        words.extend(path.into_iter().flat_map(|path| [name.into(), path.into()]));
    };
    option("--remote", socket);
    option("--vmlinux", arguments.vmlinux.as_deref());
    let flags = [
        ("--fresh", arguments.fresh),
        ("--quiet", arguments.quiet),
        ("--deep", arguments.find_kernel.is_deep()),
    ];
    words.extend(flags.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (*name).into()));
    words.push("--".into());
    words.extend(arguments.own.iter().cloned());
    words
}

/// QEMU's server for gdb, behind our proxy.
struct OpenServer {
    proxy: GdbProxy,
    socket: PathBuf,
    folder: TemporaryFolder,
}

impl OpenServer {
    fn on(guest: &mut LiveGuest) -> anyhow::Result<Self> {
        let folder = TemporaryFolder::new()?;
        let (ours, theirs) = UnixStream::pair().context("cannot set up a socket")?;
        let opened = guest.open_gdb_server(&theirs)?;
        drop(theirs);
        let socket = folder.0.join("gdb");
        let proxy = match opened {
            GdbServer::Open => {
                let started = UnixListener::bind(&socket)
                    .and_then(|listener| GdbProxy::start(listener, ours))
                    .with_context(|| format!("cannot serve gdb at {}", socket.display()));
                started.inspect_err(|_| {
                    let _ = guest.close_gdb_server();
                })
            }
            GdbServer::InUse { at } => Err(UsageError {
                message: format!("QEMU serves another gdb, at {at}: there is one server"),
                hint: Some(format!("use that one, or end it with `gdbserver none`; {WITHOUT}")),
            }
            .into()),
            GdbServer::Refused { text } => Err(anyhow!("QEMU opens no server for gdb: {text}")),
            GdbServer::Unsupported => Err(no_server_of_libvirt().into()),
        };
        if proxy.is_err() {
            let _ = fs::remove_file(&socket);
        }
        Ok(Self { proxy: proxy?, socket, folder })
    }

    fn close(self, guest: &mut LiveGuest) -> ProxyOutcome {
        let outcome = self.proxy.end();
        let _ = fs::remove_file(&self.socket);
        drop(self.folder);
        if let Err(error) = guest.close_gdb_server() {
            say(&format!("warning: QEMU's server for gdb may still be there: {error}"));
        }
        outcome
    }
}

/// Says how the guest is now.
fn report(guest: &mut LiveGuest, outcome: Option<&ProxyOutcome>, tell: &dyn Fn(&str)) {
    if outcome.is_some_and(|outcome| outcome.kill_asked) {
        tell("note: gdb wanted to end the guest; that was not passed on, QEMU would have ended");
    }
    if let Some(problem) = outcome.and_then(|outcome| outcome.breakpoints_left.as_ref()) {
        say(&format!("warning: breakpoints of gdb may be left in the guest: {problem}"));
    }
    let found = guest.found().status.clone();
    let ran = if outcome.is_some_and(|outcome| outcome.ran) { ": gdb let it run" } else { "" };
    match guest.state() {
        Ok(now) if now.status == found && ran.is_empty() => {
            tell(&format!("note: the guest is as it was found: {found}"));
        }
        Ok(now) => {
            say(&format!("warning: the guest was {found}, and is {} now{ran}", now.status));
        }
        Err(error) => say(&format!("warning: what the guest does now is not known: {error}")),
    }
}

fn no_server_of_libvirt() -> UsageError {
    UsageError {
        message: "gdb is not started on a domain of libvirt: QEMU's server for it could be opened \
            by libvirt's monitor command only, and libvirt marks a domain as tainted by that"
            .to_owned(),
        hint: Some(WITHOUT.to_owned()),
    }
}
