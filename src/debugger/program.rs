//! The debuggers that read a core of a kernel, and how each is called.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::vmlinux::Vmlinux;

/// A debugger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The kernel's crash utility. Needs a vmlinux.
    Crash,
    /// The programmable debugger.
    Drgn,
    /// The GNU debugger. It reads physical addresses only: QEMU's cores have no others.
    Gdb,
    /// volatility3, with the plugin that the user names. Needs symbols in its own form.
    Volatility,
}

/// A debugger is in no directory of `$PATH`.
#[derive(Debug, Error)]
#[error("{program} is not installed: {} is in none of the directories of PATH", program.file_name())]
pub struct NotInstalled {
    /// The one that was asked for.
    pub program: Program,
}

impl NotInstalled {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self.program {
            Program::Crash => "install the package crash",
            Program::Drgn => "install it with `pip install drgn`, or the package drgn",
            Program::Gdb => "install the package gdb",
            Program::Volatility => {
                "install it with `pip install volatility3`, in a directory of PATH"
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Program {
    /// Those that are started without being asked for, the best first.
    pub const ALL: [Self; 3] = [Self::Crash, Self::Drgn, Self::Gdb];

    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Drgn => "drgn",
            Self::Gdb => "gdb",
            Self::Volatility => "volatility",
        }
    }

    /// The name of its file.
    fn file_name(self) -> &'static str {
        if self == Self::Volatility { "vol" } else { self.name() }
    }

    /// The names of its files, the best first, for a core of this machine. Debian has a gdb of its
    /// own for machines that are not this one's, which others have in the same program.
    fn file_names(self, machine: Option<&str>) -> impl Iterator<Item = &'static str> {
        let for_others = (self == Self::Gdb && is_foreign(machine)).then_some("gdb-multiarch");
        for_others.into_iter().chain([self.file_name()])
    }

    /// Whether it reads cores of this machine. crash reads those of the one that it was built for.
    pub fn reads(self, machine: Option<&str>) -> bool {
        self != Self::Crash || !is_foreign(machine)
    }

    /// Whether it does not start without a vmlinux.
    pub fn needs_vmlinux(self) -> bool {
        self == Self::Crash
    }

    /// Its file for a core of this machine, in one of the directories of `path`, as `$PATH` has
    /// them.
    pub fn installed(self, path: &OsStr, machine: Option<&str>) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let runs = |file: &PathBuf| {
            file.metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        let in_path = |name| std::env::split_paths(path).map(move |folder| folder.join(name));
        self.file_names(machine).flat_map(in_path).find(runs)
    }

    /// The arguments that open `core`, followed by the user's own.
    ///
    /// volatility3's symbols are in the directory that `vmlinux` names then.
    /// `kernel_offset` is how far KASLR moved the kernel, where it is known.
    pub fn arguments(
        self,
        core: &Path,
        vmlinux: Option<&Vmlinux>,
        kernel_offset: Option<u64>,
        own: &[OsString],
    ) -> Vec<OsString> {
        let modules = vmlinux.map(|vmlinux| &vmlinux.modules);
        let vmlinux = vmlinux.map(|vmlinux| vmlinux.path.as_os_str());
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |argument: &OsStr| arguments.push(argument.to_owned());
        match self {
            Self::Crash => {
                vmlinux.into_iter().for_each(&mut add);
                add(core.as_os_str());
                if let Some(commands) = modules.and_then(|modules| modules.crash_commands.as_ref())
                {
                    add("-i".as_ref());
                    add(commands.as_os_str());
                }
            }
            Self::Drgn => {
                add("-c".as_ref());
                add(core.as_os_str());
                let modules = modules.map(|modules| modules.files.as_slice()).unwrap_or_default();
                for file in vmlinux.into_iter().chain(modules.iter().map(|file| file.as_os_str())) {
                    add("-s".as_ref());
                    add(file);
                }
            }
            Self::Gdb => {
                gdb_symbols(vmlinux, kernel_offset).iter().for_each(|word| add(word));
                add("--core".as_ref());
                add(core.as_os_str());
            }
            Self::Volatility => {
                if let Some(symbols) = vmlinux {
                    add("-s".as_ref());
                    add(symbols);
                }
                add("-f".as_ref());
                add(core.as_os_str());
            }
        }
        arguments.extend(own.iter().cloned());
        arguments
    }
}

/// Whether a core is of another machine than this one.
fn is_foreign(machine: Option<&str>) -> bool {
    machine.is_some_and(|machine| machine != std::env::consts::ARCH)
}

/// The arguments of gdb that has a guest behind a socket, followed by the user's own.
pub fn gdb_on_guest(
    socket: &Path,
    vmlinux: Option<&Vmlinux>,
    kernel_offset: Option<u64>,
    own: &[OsString],
) -> Vec<OsString> {
    let vmlinux = vmlinux.map(|vmlinux| vmlinux.path.as_os_str());
    let mut arguments = gdb_symbols(vmlinux, kernel_offset);
    let mut command = OsString::from("target remote ");
    command.push(socket);
    arguments.extend(["-ex".into(), command]);
    arguments.extend(own.iter().cloned());
    arguments
}

/// The arguments that give gdb the kernel's symbols, where KASLR moved them to.
fn gdb_symbols(vmlinux: Option<&OsStr>, kernel_offset: Option<u64>) -> Vec<OsString> {
    let Some(vmlinux) = vmlinux else { return Vec::new() };
    let mut command = OsString::from("symbol-file ");
    if let Some(offset) = kernel_offset.filter(|offset| *offset > 0) {
        command.push(format!("-o {offset:#x} "));
    }
    command.push(shell_quoted(vmlinux));
    vec!["-ex".into(), command]
}

/// A word as a shell takes it for one.
pub fn shell_quoted(word: &OsStr) -> OsString {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = OsString::from("'");
    let mut parts = split_at_quotes(word).into_iter();
    quoted.push(parts.next().unwrap_or_default());
    for part in parts {
        quoted.push("'\\''");
        quoted.push(part);
    }
    quoted.push("'");
    quoted
}

fn split_at_quotes(word: &OsStr) -> Vec<&OsStr> {
    use std::os::unix::ffi::OsStrExt;
    word.as_bytes().split(|byte| *byte == b'\'').map(OsStr::from_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::super::vmlinux::ModuleFiles;
    use super::*;

    fn vmlinux(path: &str) -> Vmlinux {
        Vmlinux { path: path.into(), verified: true, modules: ModuleFiles::default() }
    }

    fn line(program: Program, offset: Option<u64>) -> String {
        let vmlinux = vmlinux("/usr/lib/my kernel");
        let own = ["-x".into(), "a'b".into()];
        let arguments = program.arguments(Path::new("/m/vmcore"), Some(&vmlinux), offset, &own);
        let words: Vec<_> = arguments.iter().map(|word| shell_quoted(word)).collect();
        words.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn each_debugger_gets_core_and_kernel_in_its_own_way() {
        assert_eq!(line(Program::Crash, None), r"'/usr/lib/my kernel' /m/vmcore -x 'a'\''b'");
        assert_eq!(line(Program::Drgn, None), r"-c /m/vmcore -s '/usr/lib/my kernel' -x 'a'\''b'");
        let line = line(Program::Volatility, None);
        assert_eq!(line, r"-s '/usr/lib/my kernel' -f /m/vmcore -x 'a'\''b'");
        let gdb = Program::Gdb;
        let path = Path::new("/m/vmcore");
        let vmlinux = vmlinux("/vmlinux");
        let arguments = gdb.arguments(path, Some(&vmlinux), Some(0x1ae0_0000), &[]);
        assert_eq!(arguments, ["-ex", "symbol-file -o 0x1ae00000 /vmlinux", "--core", "/m/vmcore"]);
        assert_eq!(gdb.arguments(path, None, None, &[]), ["--core", "/m/vmcore"]);
        let arguments = gdb_on_guest(Path::new("/m/gdb"), Some(&vmlinux), None, &["-q".into()]);
        let expected = ["-ex", "symbol-file /vmlinux", "-ex", "target remote /m/gdb", "-q"];
        assert_eq!(arguments, expected);
    }

    #[test]
    fn files_of_modules_are_given_to_those_who_take_them() {
        let modules = ModuleFiles {
            files: vec!["/m/xfs.ko".into(), "/m/ext4.ko".into()],
            crash_commands: Some("/m/crash.commands".into()),
        };
        let vmlinux = Vmlinux { modules, ..vmlinux("/vmlinux") };
        let of = |program: Program| program.arguments(Path::new("/c"), Some(&vmlinux), None, &[]);
        let drgn = ["-c", "/c", "-s", "/vmlinux", "-s", "/m/xfs.ko", "-s", "/m/ext4.ko"];
        assert_eq!(of(Program::Drgn), drgn);
        assert_eq!(of(Program::Crash), ["/vmlinux", "/c", "-i", "/m/crash.commands"]);
        assert_eq!(of(Program::Gdb), ["-ex", "symbol-file /vmlinux", "--core", "/c"]);
    }

    #[test]
    fn a_program_is_found_where_it_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gdb");
        std::fs::write(&path, "").unwrap();
        let gdb = |machine| Program::Gdb.installed(folder.path().as_os_str(), machine);
        assert_eq!(gdb(None), None, "it is no program");
        let mode = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode()).unwrap();
        assert_eq!(gdb(None), Some(path.clone()));
        assert_eq!(gdb(Some("s390x")), Some(path.clone()));
        let of_others = folder.path().join("gdb-multiarch");
        std::fs::write(&of_others, "").unwrap();
        std::fs::set_permissions(&of_others, mode()).unwrap();
        assert_eq!(gdb(Some("s390x")), Some(of_others));
        assert_eq!(gdb(Some(std::env::consts::ARCH)), Some(path));
        assert!(Program::Drgn.reads(Some("s390x")) && !Program::Crash.reads(Some("s390x")));
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_would_change_them() {
        assert_eq!(shell_quoted("a-b_c/d.e".as_ref()), "a-b_c/d.e");
        for (word, quoted) in [("", "''"), ("a b", "'a b'"), ("$x", "'$x'"), ("'", r"''\'''")] {
            assert_eq!(shell_quoted(word.as_ref()), quoted);
        }
    }
}
