//! `vmcorectl symbols`: what a core knows of its kernel, as files for other tools.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::exit::Exit;
use super::kernel::KernelArgs;
use super::module_files;
use super::stored_core::{CoreArgs, print};
use super::ui::{say, say_findings};
use crate::kernel::Kernel;
use crate::printable::shown;
use crate::store::single_file::SingleFile;
use crate::vmlinux::{Contents, Isf, MadeVmlinux, system_map};

/// Write the kernel's symbols and types, out of its own memory, as a file for debuggers
///
/// `elf` is a vmlinux that crash, drgn and gdb take for the kernel's: symbols of kallsyms, types
/// and prototypes of BTF, ORC tables, text and data. FILE appears under its name when it is
/// whole. What is missing or damaged is reported on stderr. The paths of all files that were
/// written are printed.
#[derive(Debug, clap::Args)]
pub(super) struct SymbolsArgs {
    #[command(flatten)]
    core: CoreArgs,
    #[command(flatten)]
    find_kernel: KernelArgs,
    /// What to write
    #[arg(long, value_enum, default_value_t = Form::Elf)]
    format: Form,
    /// Where to write it
    #[arg(short, long, value_name = "FILE", required_unless_present = "modules")]
    output: Option<PathBuf>,
    /// Also write a file for each loaded module: DIR/NAME.ko, and DIR/.build-id
    ///
    /// crash loads them by `mod -S DIR`; drgn by `--debug-directory DIR`, or as files (`-s`). A
    /// module without BTF has symbols alone.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// Also list variables of known names that are left out, because none of their types fits
    #[arg(short, long)]
    verbose: bool,
    /// Make a file that fits each boot of the kernel's build, in the directory `--output`, under
    /// a name that is its contents'; or name the one that is there
    #[arg(long, hide = true)]
    cached: bool,
    /// Replace the one that is there
    #[arg(long, hide = true, requires = "cached")]
    fresh: bool,
}

/// The forms, by the names that they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A vmlinux
    Elf,
    /// volatility3's JSON (ISF)
    Isf,
    /// A System.map
    Map,
    /// C declarations of all types, like bpftool's vmlinux.h
    Header,
}

/// Writes the file, and prints its path.
pub(super) fn run(arguments: &SymbolsArgs) -> anyhow::Result<Exit> {
    if arguments.cached {
        return cached(arguments);
    }
    let folder = arguments.modules.as_deref();
    // What may be written has to be there before this process is confined.
    folder.map(module_files::create_folder).transpose()?;
    let inside = folder.map(|folder| folder.join(module_files::BUILD_IDS));
    let outputs = arguments.output.as_deref().into_iter().chain(inside.as_deref());
    let outputs: Vec<&Path> = outputs.collect();
    let core = arguments.core.open_to_write_all(arguments.find_kernel.reads(), &outputs)?;
    let kernel = arguments.find_kernel.find(&core)?;
    say_findings(core.findings().iter().chain(&kernel.origin()));
    let mut written = Vec::new();
    if let Some(output) = &arguments.output {
        match arguments.format {
            Form::Elf => elf(&kernel, output, arguments.verbose)?,
            Form::Isf => {
                let isf = Isf::of(&kernel)?;
                write(output, |out| isf.write(out))?;
            }
            Form::Map => map(&kernel, output)?,
            Form::Header => header(&kernel, output)?,
        }
        written.push(output.clone());
    }
    if let Some(folder) = folder {
        written.extend(module_files::write(&kernel, folder)?);
    }
    print(|out| {
        written.iter().try_for_each(|path| writeln!(out, "{}", shown(&path.display().to_string())))
    })
}

fn map(kernel: &Kernel, output: &Path) -> anyhow::Result<()> {
    let mut left_out = Ok(0);
    write(output, |out| {
        left_out = system_map(kernel, out)?;
        Ok(())
    })?;
    match left_out? {
        0 => {}
        count => say(&format!("finding: {count} symbols were left out: their names are not valid")),
    }
    Ok(())
}

fn header(kernel: &Kernel, output: &Path) -> anyhow::Result<()> {
    let types = kernel.types().map_err(Clone::clone)?;
    let btf = types.btf().context("the kernel's image has no BTF, which has the types")?;
    say_findings(types.findings());
    let header = btf.c_header();
    header.left_out.iter().for_each(|what| say(&format!("finding: {what}")));
    write(output, |out| out.write_all(header.text.as_bytes()))
}

/// Writes a file that appears under its name when it is whole.
fn write(
    output: &Path,
    contents: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let (staged, file) = SingleFile::create(output)?;
    let mut out = BufWriter::with_capacity(1 << 18, &file);
    let written = contents(&mut out).and_then(|()| out.flush());
    written.with_context(|| format!("cannot write {}", output.display()))?;
    Ok(staged.publish()?)
}

fn elf(kernel: &Kernel, output: &Path, verbose: bool) -> anyhow::Result<()> {
    let made = MadeVmlinux::of(kernel)?;
    say_findings(made.findings());
    if verbose {
        made.notes().iter().for_each(|note| say(&format!("note: {note}")));
    }
    if !made.has_types() {
        say("warning: the kernel has no types (BTF): the file has symbols and code only");
    }
    let (staged, file) = SingleFile::create(output)?;
    let missing = made.write(Contents::Memory, &file);
    let missing = missing.with_context(|| format!("cannot write {}", output.display()))?;
    if missing > 0 {
        say(&format!("warning: {missing} bytes of the kernel's image are not in the core"));
    }
    Ok(staged.publish()?)
}

/// What `debug` asks for: a file that depends on nothing but the kernel's build.
fn cached(arguments: &SymbolsArgs) -> anyhow::Result<Exit> {
    let folder = arguments.output.as_ref().context("--cached needs a directory (--output)")?;
    let modules = arguments.modules.as_deref();
    let inside = [Some(folder.as_path()), modules].into_iter().flatten();
    let inside: Vec<PathBuf> = inside.map(|folder| folder.join("file")).collect();
    let inside: Vec<&Path> = inside.iter().map(PathBuf::as_path).collect();
    let core = arguments.core.open_to_write_all(arguments.find_kernel.reads(), &inside)?;
    let kernel = arguments.find_kernel.find(&core)?;
    let made = MadeVmlinux::of(&kernel)?;
    let name = made.name()?;
    let path = keep(folder, &name, arguments.fresh, |staged| {
        say_findings(made.findings());
        match arguments.format {
            Form::Isf => isf_folder(&kernel, staged),
            _ => {
                create(staged).and_then(|file| Ok(made.write(Contents::Build, &file).map(drop)?))
            }
        }
    })?;
    let mut kept = vec![path];
    if let Some(folder) = modules
        && let Some(name) = module_files::name(&kernel, &name)
    {
        let written = keep(folder, &name, arguments.fresh, |staged| {
            fs::DirBuilder::new().mode(0o700).create(staged)?;
            module_files::write(&kernel, staged)?;
            module_files::write_crash_commands(staged, &folder.join(&name))
        });
        match written {
            Ok(path) => kept.push(path),
            Err(error) => say(&format!("warning: no files of modules were made: {error:#}")),
        }
    }
    print(|out| kept.iter().try_for_each(|path| writeln!(out, "{}", path.display())))?;
    Ok(if made.has_types() { Exit::Done } else { Exit::Incomplete })
}

/// What a directory has under a name: what is there, or what is written now.
fn keep(
    folder: &Path,
    name: &str,
    fresh: bool,
    write: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    if path.exists() && !fresh {
        return Ok(path);
    }
    let staged = folder.join(format!("{}.incomplete", std::process::id()));
    // A directory is not replaced by one that is renamed.
    let written = write(&staged).and_then(|()| {
        let _ = fs::remove_dir_all(&path);
        Ok(fs::rename(&staged, &path)?)
    });
    if written.is_err() {
        let _ = fs::remove_file(&staged).or_else(|_| fs::remove_dir_all(&staged));
    }
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A directory with nothing but volatility3's symbols.
fn isf_folder(kernel: &Kernel, folder: &Path) -> anyhow::Result<()> {
    let isf = Isf::of(kernel)?;
    fs::DirBuilder::new().mode(0o700).create(folder)?;
    let mut out = BufWriter::with_capacity(1 << 18, create(&folder.join("kernel.json"))?);
    isf.write(&mut out)?;
    Ok(out.flush()?)
}

fn create(path: &Path) -> anyhow::Result<File> {
    Ok(File::options().write(true).create_new(true).mode(0o600).open(path)?)
}
