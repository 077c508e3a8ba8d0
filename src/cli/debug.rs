//! `vmcorectl debug`: the right debugger on a stored core.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::mount::mount;
use super::stored_core::CoreArgs;
use super::symbol_paths::symbol_paths;
use super::ui::say;
use super::vmlinux_cache;
use crate::debugger::{self, KernelBuild, NotFound, Program, Signals, Vmlinux, shell_quoted};
use crate::kernel::find::SearchDepth;
use crate::kernel::find::note;
use crate::kernel::find::note::VmcoreInfoNote;
use crate::mount::{Detached, VMCORE_FILE};

/// Start crash, drgn or gdb on a stored core, without unpacking it
///
/// The core is mounted on a temporary directory while the debugger runs. The kernel's
/// vmlinux is found by the build id in the core; a vmlinux of another build is refused. Where
/// none is installed, one is made out of the core's own symbols and types, and cached. The exit code is the debugger's.
#[derive(Debug, clap::Args)]
pub(super) struct DebugArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// Which debugger [default: the first of these that is installed]
    #[arg(long, value_name = "DEBUGGER")]
    with: Option<ProgramArg>,
    /// The kernel's vmlinux [default: found by build id]
    #[arg(long, value_name = "FILE")]
    vmlinux: Option<PathBuf>,
    /// Make the vmlinux anew, if it has to be made out of the core
    #[arg(long)]
    fresh: bool,
    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
    /// Further arguments of the debugger
    #[arg(last = true, value_name = "ARGS")]
    own: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ProgramArg {
    Crash,
    Drgn,
    Gdb,
}

impl From<ProgramArg> for Program {
    fn from(program: ProgramArg) -> Self {
        match program {
            ProgramArg::Crash => Self::Crash,
            ProgramArg::Drgn => Self::Drgn,
            ProgramArg::Gdb => Self::Gdb,
        }
    }
}

/// Mounts, runs the debugger to its end, and unmounts.
pub(super) fn run(arguments: &DebugArgs) -> anyhow::Result<Exit> {
    let mut core = arguments.core.open_unconfined()?;
    let tell = |text: &str| {
        if !arguments.quiet {
            say(text)
        }
    };
    // Debuggers look for the note, and what is mounted can have it where the core has not.
    match note::complete(&mut core, arguments.find_kernel.depth()) {
        VmcoreInfoNote::Present => {}
        VmcoreInfoNote::Added(how) => tell(&format!("note: {how}")),
        VmcoreInfoNote::Missing(why) => tell(&format!("warning: {why}")),
    }
    let kernel = core.vmcoreinfo_note().map(|info| KernelBuild::of(&info)).unwrap_or_default();
    let mut vmlinux = vmlinux(arguments, &kernel, &tell)?;
    if let Err(missing) = vmlinux {
        vmlinux = made(core.path(), arguments, missing, &tell)?;
    }
    let (program, file) = program(arguments, vmlinux.as_ref().ok())?;
    let vmlinux = match vmlinux {
        Ok(vmlinux) => Some(vmlinux),
        Err(missing) if program.needs_vmlinux() => return Err(missing.into()),
        Err(missing) => {
            tell(&format!("warning: {missing}; {program} starts without it"));
            tell(&format!("hint: {}", missing.hint()));
            None
        }
    };

    let signals = Signals::held().context("cannot install signal handlers")?;
    let folder = TemporaryFolder::new()?;
    let mounted = mount(&core, &folder.0, &tell)?;
    let offset = core.vmcoreinfo_note().and_then(|info| info.kernel_offset());
    let vmcore = mounted.folder().join(VMCORE_FILE);
    let words = program.arguments(&vmcore, vmlinux.as_ref(), offset, &arguments.own);
    tell(&format!("+ {}", line(&file, &words)));
    let mut command = Command::new(&file);
    command.args(&words);
    let ended = debugger::run(command, signals);
    // Whatever became of the debugger: nothing is left behind.
    let unmounted = mounted.unmount();
    let code = ended.with_context(|| format!("cannot start {}", file.display()))?;
    if unmounted? == Detached::Busy {
        tell(&format!("warning: what {program} left running still read from the core"));
    }
    Ok(Exit::OfDebugger(code))
}

/// The kernel's file: the one that was named, or one that is found.
fn vmlinux(
    arguments: &DebugArgs,
    kernel: &KernelBuild,
    tell: &dyn Fn(&str),
) -> anyhow::Result<Result<Vmlinux, NotFound>> {
    let found = match &arguments.vmlinux {
        Some(path) => Ok(kernel.check(path)?),
        None => kernel.find(&symbol_paths()),
    };
    if let Ok(vmlinux) = &found
        && !vmlinux.verified
    {
        tell(&format!(
            "warning: the core names no build id, so whether {} is its kernel's cannot be checked",
            vmlinux.path.display()
        ));
    }
    Ok(found)
}

/// The vmlinux that is made out of the core, where no other is found.
fn made(
    core: &Path,
    arguments: &DebugArgs,
    missing: NotFound,
    tell: &dyn Fn(&str),
) -> anyhow::Result<Result<Vmlinux, NotFound>> {
    let deep = arguments.find_kernel.depth() == SearchDepth::All;
    let cached = match vmlinux_cache::find_or_make(core, arguments.fresh, deep) {
        Ok(cached) => cached,
        Err(error) => {
            tell(&format!("warning: no vmlinux was made out of the core: {error:#}"));
            return Ok(Err(missing));
        }
    };
    let what = if cached.with_types { "symbols and types" } else { "symbols; it has no types" };
    tell(&format!(
        "note: no vmlinux of {} is installed; {} is used, made out of the core's own {what}",
        missing.kernel.describe(),
        cached.path.display()
    ));
    let needs_types = arguments.with.is_some_and(|with| Program::from(with).needs_vmlinux());
    if !cached.with_types && needs_types {
        return Ok(Err(missing));
    }
    Ok(Ok(Vmlinux { path: cached.path, verified: true }))
}

/// The debugger that was asked for, or the first that is installed and can start.
fn program(arguments: &DebugArgs, vmlinux: Option<&Vmlinux>) -> anyhow::Result<(Program, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(program) = arguments.with.map(Program::from) {
        return match program.installed(&path) {
            Some(file) => Ok((program, file)),
            None => bail!("{program} is not installed: it is in none of the directories of PATH"),
        };
    }
    let installed = |program: Program| Some((program, program.installed(&path)?));
    let mut all: Vec<_> = Program::ALL.into_iter().filter_map(installed).collect();
    // Without a vmlinux, one that starts is better than one that does not.
    all.sort_by_key(|(program, _)| vmlinux.is_none() && program.needs_vmlinux());
    match all.into_iter().next() {
        Some(found) => Ok(found),
        None => bail!("no debugger is installed: crash, drgn and gdb are looked for in PATH"),
    }
}

/// The command as it could be typed.
fn line(file: &Path, words: &[OsString]) -> String {
    let words: Vec<_> = [file.as_os_str()]
        .into_iter()
        .chain(words.iter().map(OsString::as_os_str))
        .map(shell_quoted)
        .collect();
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

/// A new directory that only this user may enter. Goes when it is dropped.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> anyhow::Result<Self> {
        let mut random = [0; 8];
        let _ = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        let name = format!("vmcorectl-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        let created = std::fs::DirBuilder::new().mode(0o700).create(&path);
        created.with_context(|| format!("cannot create the directory {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
