//! `vmcorectl debug`: the right debugger on a stored core, or on a held guest.

mod live;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use super::exit::{Exit, UsageError};
use super::guest::ConnectArgs;
use super::kernel::KernelArgs;
use super::module_files;
use super::mount::mount;
use super::stored_core::CoreArgs;
use super::symbol_paths::symbol_paths;
use super::temporary_folder::TemporaryFolder;
use super::ui::say;
use super::vmlinux_cache::{self, Kind};
use crate::debugger::{
    self, KernelBuild, ModuleFiles, NotFound, NotInstalled, Program, Signals, Vmlinux, shell_quoted,
};
use crate::kernel::find::SearchDepth;
use crate::kernel::find::note;
use crate::kernel::find::note::VmcoreInfoNote;
use crate::mount::{Detached, VMCORE_FILE};
use crate::units::parse::positive_duration;
use crate::vmcore::Vmcore;

/// Start crash, drgn, gdb or volatility3 on a stored core, without unpacking it, or on a held guest
///
/// For example `debug latest --with volatility -- linux.pslist`.
/// The core is mounted on a temporary directory while the debugger runs. The kernel's
/// vmlinux is found by the build id in the core; a vmlinux of another build is refused. Where
/// none is installed, one is made out of the core's own symbols and types, and cached; so are files
/// of its modules, for crash and drgn. The exit code is the debugger's.
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
    /// ENTRY is a stopped guest: its QMP socket, or `libvirt:` and a domain's name or UUID. gdb
    /// reads and steps it through QEMU's own server, crash and drgn read its memory. It stays
    /// as it is, however the debugger ends, unless gdb's user has it continue
    #[arg(long)]
    live: bool,
    /// How long to wait for an answer of QEMU, if ENTRY is a guest
    #[arg(long, value_name = "DURATION", value_parser = positive_duration, default_value = "15s")]
    timeout: Duration,
    #[command(flatten)]
    connect: ConnectArgs,
    /// The core is the memory of a held guest, which another process serves as a plain file
    #[arg(long, hide = true, conflicts_with = "live")]
    held: bool,
    /// Where gdb finds that guest
    #[arg(long, hide = true, requires = "held", value_name = "SOCKET")]
    remote: Option<PathBuf>,
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
    /// volatility3: the plugin and its options are further arguments
    Volatility,
}

impl From<ProgramArg> for Program {
    fn from(program: ProgramArg) -> Self {
        match program {
            ProgramArg::Crash => Self::Crash,
            ProgramArg::Drgn => Self::Drgn,
            ProgramArg::Gdb => Self::Gdb,
            ProgramArg::Volatility => Self::Volatility,
        }
    }
}

/// Judged with volatility3 2.28.2, which prints empty lists then.
const FIVE_LEVELS: &str = "warning: the guest's page tables have five levels, which volatility3 \
    does not follow: it finds little of the kernel's memory\n\
    hint: vmcorectl's samples/volatility adds them: debug ENTRY --with volatility -- -p DIR PLUGIN";

/// Mounts, runs the debugger to its end, and unmounts.
pub(super) fn run(arguments: &DebugArgs) -> anyhow::Result<Exit> {
    if arguments.live {
        return live::run(arguments);
    }
    let mut core = arguments.core.open_unconfined()?;
    let tell = |text: &str| {
        if !arguments.quiet {
            say(text)
        }
    };
    // Debuggers look for the note, and what is mounted can have it where the core has not.
    let note = note::complete(&mut core, arguments.find_kernel.depth());
    let is_whole = note == VmcoreInfoNote::Present;
    match note {
        VmcoreInfoNote::Present => {}
        VmcoreInfoNote::Added(how) => tell(&format!("note: {how}")),
        VmcoreInfoNote::Missing(why) => tell(&format!("warning: {why}")),
    }
    let kernel = core.vmcoreinfo_note().map(|info| KernelBuild::of(&info)).unwrap_or_default();
    let vmlinux = match arguments.with {
        Some(ProgramArg::Volatility) => {
            let levels = core.vmcoreinfo_note();
            if levels.is_some_and(|info| info.value("NUMBER(pgtable_l5_enabled)") == Some("1")) {
                let is_more = |word: &OsString| word == "-p" || word == "--plugin-dirs";
                if !arguments.own.iter().any(is_more) {
                    tell(FIVE_LEVELS);
                }
            }
            Ok(isf(&core, arguments, &tell)?)
        }
        _ => match vmlinux(arguments, &kernel, &tell)? {
            Err(missing) => made(core.path(), arguments, missing, &tell)?,
            found => found,
        },
    };
    let machine = core.identity().machine_name();
    let (program, file) = program(arguments, machine, vmlinux.as_ref().ok())?;
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
    let offset = core.vmcoreinfo_note().and_then(|info| info.kernel_offset());
    let (vmlinux, own) = (vmlinux.as_ref(), arguments.own.as_slice());
    if let Some(socket) = &arguments.remote {
        let words = debugger::gdb_on_guest(socket, vmlinux, offset, own);
        return start(&file, &words, &[], signals, &tell);
    }
    let modules = vmlinux.map(|vmlinux| vmlinux.modules.files.as_slice()).unwrap_or_default();
    if arguments.held && is_whole {
        let words = program.arguments(core.path(), vmlinux, offset, own);
        return start(&file, &words, modules, signals, &tell);
    }
    let folder = TemporaryFolder::new()?;
    let mounted = mount(&core, &folder.0, &tell)?;
    let vmcore = mounted.folder().join(VMCORE_FILE);
    let words = program.arguments(&vmcore, vmlinux, offset, own);
    let ended = start(&file, &words, modules, signals, &tell);
    // Whatever became of the debugger: nothing is left behind.
    let unmounted = mounted.unmount();
    let code = ended?;
    if unmounted? == Detached::Busy {
        tell(&format!("warning: what {program} left running still read from the core"));
    }
    Ok(code)
}

/// Runs the debugger to its end. Of the files of modules, one is shown.
fn start(
    file: &Path,
    words: &[OsString],
    modules: &[PathBuf],
    signals: Signals,
    tell: &dyn Fn(&str),
) -> anyhow::Result<Exit> {
    tell(&format!("+ {}", line(file, words, modules)));
    let mut command = Command::new(file);
    command.args(words);
    let code = debugger::run(command, signals);
    Ok(Exit::OfDebugger(code.with_context(|| format!("cannot start {}", file.display()))?))
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
    let cached = match vmlinux_cache::find_or_make(
        Kind::Vmlinux,
        core,
        arguments.core.identity(),
        arguments.fresh,
        deep,
    ) {
        Ok(cached) => cached,
        Err(error) => {
            tell(&format!("warning: no vmlinux was made out of the core: {error:#}"));
            return Ok(Err(missing));
        }
    };
    let what = if cached.with_types { "symbols and types" } else { "symbols; it has no types" };
    let modules = cached.modules.as_deref().map(module_files::of_cache).unwrap_or_default();
    let more = match modules.files.len() {
        0 => String::new(),
        count => format!("; so are files of {count} modules"),
    };
    tell(&format!(
        "note: no vmlinux of {} is installed; {} is used, made out of the core's own {what}{more}",
        missing.kernel.describe(),
        cached.path.display()
    ));
    let needs_types = arguments.with.is_some_and(|with| Program::from(with).needs_vmlinux());
    if !cached.with_types && needs_types {
        return Ok(Err(missing));
    }
    Ok(Ok(Vmlinux { path: cached.path, verified: true, modules }))
}

/// volatility3's symbols, which are made out of the core.
fn isf(core: &Vmcore, arguments: &DebugArgs, tell: &dyn Fn(&str)) -> anyhow::Result<Vmlinux> {
    if arguments.vmlinux.is_some() {
        return Err(UsageError {
            message: "volatility3 reads no vmlinux".to_owned(),
            hint: Some("without --vmlinux, its symbols are made out of the core".to_owned()),
        }
        .into());
    }
    // Before seconds are spent on what nobody reads.
    program(arguments, core.identity().machine_name(), None)?;
    let deep = arguments.find_kernel.is_deep();
    let cached = vmlinux_cache::find_or_make(
        Kind::Isf,
        core.path(),
        arguments.core.identity(),
        arguments.fresh,
        deep,
    )
    .context("no symbols for volatility3 can be made out of the core")?;
    let folder = cached.path.display();
    tell(&format!("note: symbols made out of the core's own symbols and types are in {folder}"));
    Ok(Vmlinux { path: cached.path, verified: true, modules: ModuleFiles::default() })
}

/// The debugger that was asked for, or the first that is installed and can start.
fn program(
    arguments: &DebugArgs,
    machine: Option<&str>,
    vmlinux: Option<&Vmlinux>,
) -> anyhow::Result<(Program, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(program) = arguments.with.map(Program::from) {
        return match program.installed(&path, machine) {
            Some(file) => Ok((program, file)),
            None => Err(NotInstalled { program }.into()),
        };
    }
    let installed = |program: Program| Some((program, program.installed(&path, machine)?));
    let readers = Program::ALL.into_iter().filter(|program| program.reads(machine));
    let mut all: Vec<_> = readers.filter_map(installed).collect();
    // Without a vmlinux, one that starts is better than one that does not.
    all.sort_by_key(|(program, _)| vmlinux.is_none() && program.needs_vmlinux());
    match all.into_iter().next() {
        Some(found) => Ok(found),
        None => bail!("no debugger is installed: crash, drgn and gdb are looked for in PATH"),
    }
}

/// The command as it could be typed, but for what it has of the second module and others.
fn line(file: &Path, words: &[OsString], modules: &[PathBuf]) -> String {
    let further = modules.get(1..).unwrap_or_default();
    let is_further = |word: &OsString| further.iter().any(|file| file.as_os_str() == word);
    let mut shown = vec![shell_quoted(file.as_os_str())];
    for word in words {
        if !is_further(word) {
            shown.push(shell_quoted(word));
        } else if further.first().is_some_and(|first| first.as_os_str() == word) {
            shown.pop();
            shown.push("...".into());
        } else {
            shown.pop();
        }
    }
    shown.join(OsStr::new(" ")).to_string_lossy().into_owned()
}
