//! A stored core, seen as a plain ELF file: mounted, and under a debugger.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::judges::{self, gdb_threads};
use crate::machine::Machine;
use crate::same_memory::{Core, unpack};
use crate::tool::{self, Ran, finish, run, start};

const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A mount that is served by the program under test, and ends with the test.
struct Mount {
    folder: PathBuf,
    program: Option<Child>,
}

impl Mount {
    fn of(core: &str, folder: PathBuf) -> Self {
        assert!(Path::new("/dev/fuse").exists(), "these tests need /dev/fuse, and root");
        fs::create_dir_all(&folder).unwrap();
        let mut program = start(["mount", core, folder.to_str().unwrap()]);
        let started = Instant::now();
        while !is_mounted(&folder) {
            if program.try_wait().unwrap().is_some() {
                panic!("{:#?}", finish(program));
            }
            assert!(started.elapsed() < TEST_TIMEOUT, "no mount");
            sleep(Duration::from_millis(10));
        }
        Self { folder, program: Some(program) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits for the program's own end.
    fn end(mut self) -> Ran {
        let mut program = self.program.take().unwrap();
        let started = Instant::now();
        while program.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < TEST_TIMEOUT, "it runs on");
            sleep(Duration::from_millis(10));
        }
        assert!(!is_mounted(&self.folder), "it is still mounted");
        finish(program)
    }

    fn signal(&self, name: &str) {
        let id = self.program.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(mut program) = self.program.take() {
            let _ = program.kill();
            let _ = program.wait();
            let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        }
    }
}

fn is_mounted(folder: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let folder = folder.to_str().unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(folder))
}

#[test]
fn a_stored_core_is_mounted_and_debugged_without_being_unpacked() {
    let machine = Machine::panicked(&["--name", "web"]);
    let store = machine.store();
    let entry = run(["capture", &machine.monitor(), "--store", &store]).expect(0).entry();
    let stored = entry.join("vmcore.elf.zst");
    let stored = stored.to_str().unwrap();
    let unpacked = unpack(&machine, Path::new(stored));

    let mount = Mount::of(stored, machine.space("mount"));
    the_files_are_those_of_the_core(&mount, &entry, &unpacked);
    let vmcore = mount.file("vmcore");
    readelf(&vmcore);
    assert_eq!(gdb_threads(&vmcore), 2);
    reads_through_drgn(&vmcore, &unpacked);
    nothing_can_be_written(&mount);
    assert!(Command::new("umount").arg(&mount.folder).status().unwrap().success());
    mount.end().expect(0);

    for signal in ["TERM", "INT"] {
        let mount = Mount::of(stored, machine.space("mount"));
        mount.signal(signal);
        mount.end().expect(0);
    }
    let mount = Mount::of(stored, machine.space("mount"));
    let reader = fs::File::open(mount.file("vmcore")).unwrap();
    mount.signal("TERM");
    mount.end().expect(0).says("was still in use");
    drop(reader);

    let mut mount = Mount::of(stored, machine.space("mount"));
    mount.signal("KILL");
    mount.program.take().unwrap().wait().unwrap();
    run(["mount", stored, mount.folder.to_str().unwrap()])
        .expect(1)
        .says("is still the mount of a program that has ended")
        .says("hint: free it with: umount -l ");
    assert!(Command::new("umount").arg("-l").arg(&mount.folder).status().unwrap().success());

    what_cannot_be_mounted_is_said(stored, &machine);
    debugged(stored, &machine, &unpacked);
}

fn the_files_are_those_of_the_core(mount: &Mount, entry: &Path, unpacked: &Path) {
    let vmcore = mount.file("vmcore");
    let metadata = fs::metadata(&vmcore).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o400);
    assert_eq!(metadata.len(), fs::metadata(unpacked).unwrap().len());
    let same = Command::new("cmp").arg(&vmcore).arg(unpacked).status().unwrap();
    assert!(same.success(), "another content than `zstd -d` gives");
    let told = fs::read(mount.file("metadata.json")).unwrap();
    assert!(told == fs::read(entry.join("metadata.json")).unwrap());
    let info = fs::read_to_string(mount.file("vmcoreinfo.txt")).unwrap();
    assert!(info.starts_with("OSRELEASE=") && info.contains("SYMBOL(prb)="), "{info}");
    let mut names: Vec<_> = fs::read_dir(&mount.folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["metadata.json", "vmcore", "vmcoreinfo.txt"]);
}

fn readelf(core: &Path) {
    let output = Command::new("readelf").args(["-h", "-l", "-n", "-W"]).arg(core).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("VMCOREINFO"), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).is_empty(), "{output:?}");
}

fn nothing_can_be_written(mount: &Mount) {
    assert!(fs::write(mount.file("vmcore"), "x").is_err());
    assert!(fs::write(mount.file("new"), "x").is_err());
    assert!(fs::remove_file(mount.file("vmcore")).is_err());
}

fn drgn_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/drgn-venv/bin");
    assert!(folder.join("drgn").exists(), "drgn is not in target/drgn-venv: tests/run installs it");
    folder
}

/// What a script prints of memory at 16 MiB, and what should be there.
const SCRIPT: &str = "import sys, drgn\n\
    assert prog.flags & drgn.ProgramFlags.IS_LINUX_KERNEL, prog.flags\n\
    print(prog.read(16 << 20, 64, physical=True).hex())\n\
    sys.exit(9)\n";

fn memory_at_16_mib(unpacked: &Path) -> String {
    let bytes = Core::open(unpacked).physical(16 << 20, 64);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn reads_through_drgn(core: &Path, unpacked: &Path) {
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(script.path(), SCRIPT).unwrap();
    let output = Command::new(drgn_folder().join("drgn"))
        .arg("-c")
        .arg(core)
        .arg(script.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), memory_at_16_mib(unpacked));
}

fn what_cannot_be_mounted_is_said(stored: &str, machine: &Machine) {
    let full = machine.space("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("file"), "x").unwrap();
    let full = full.to_str().unwrap();
    run(["mount", stored, full]).expect(1).says("not empty").says("hint: ");
    let missing = machine.space("no such directory");
    let missing = missing.to_str().unwrap();
    run(["mount", stored, missing]).expect(1).says("No such file").says("hint: create it");
}

/// Everything that was mounted is unmounted, and no directory is left.
fn nothing_is_left(temporary: &Path) {
    let left: Vec<_> = fs::read_dir(temporary).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Neither the kernel's file nor those of its modules are installed, and debuggers have the types.
fn types_of_modules(stored: &str, machine: &Machine) {
    let (script, commands) = (machine.space("types.py"), machine.space("types"));
    fs::write(&script, "print(prog.type('struct virtio_blk'), prog.function('virtblk_probe'))")
        .unwrap();
    fs::write(&commands, "struct virtio_blk\nwhatis virtblk_probe\nquit\n").unwrap();
    let path = format!("{}:{}", std::env::var("PATH").unwrap(), drgn_folder().display());
    let debug = |arguments: &[&str], said: &Path| -> String {
        let mut command = tool::command(["debug", stored].iter().chain(arguments));
        command.env("PATH", &path).stdin(fs::File::open(said).unwrap());
        let ran = Ran::from(command.output().unwrap()).expect(0);
        ran.says("; so are files of ").says(" modules").stdout
    };
    let drgn = debug(&["--with", "drgn", "--", "-q", script.to_str().unwrap()], &script);
    let crash = debug(&["--with", "crash", "--", "-s"], &commands);
    for said in [drgn, crash] {
        assert!(said.contains("struct virtio_device *vdev;"), "{said}");
        assert!(said.contains("(struct virtio_device *"), "{said}");
    }
}

fn debugged(stored: &str, machine: &Machine, unpacked: &Path) {
    let temporary = machine.space("temporary");
    fs::create_dir(&temporary).unwrap();
    let debug = |arguments: &[&str]| -> Ran {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{path}:{}", drgn_folder().display());
        let mut command = tool::command(["debug", stored].iter().chain(arguments));
        command.env("TMPDIR", &temporary).env("PATH", path).output().unwrap().into()
    };

    let gdb = ["--with", "gdb", "--", "-nx", "-batch", "-ex", "info registers rip"];
    let ran = debug(&gdb).expect(0).says("/gdb ").says(" --core ").says("-ex 'info registers rip'");
    let line = ran.stdout.lines().find(|line| line.starts_with("rip ")).unwrap_or_default();
    assert!(line.contains("0xffffffff"), "the kernel's address: {ran:?}");
    nothing_is_left(&temporary);

    let ran = debug(&["--with", "gdb", "--vmlinux", "/bin/ls"]).expect(1);
    ran.says("/bin/ls has build id ").says("but the core's kernel has build id ");
    debug(&["--with", "gdb", "--vmlinux", "/etc/passwd"]).expect(1).says("it is not an ELF file");
    nothing_is_left(&temporary);

    let script = machine.space("script.py");
    fs::write(&script, SCRIPT).unwrap();
    let script = script.to_str().unwrap();
    let ran = debug(&["--with", "drgn", "-q", "--", script]).expect(9);
    assert_eq!(ran.stdout.trim(), memory_at_16_mib(unpacked));
    nothing_is_left(&temporary);

    types_of_modules(stored, machine);
    nothing_is_left(&temporary);

    if std::env::var_os("VMCORECTL_TEST_FULL").is_some() {
        let (vmlinux, commands) = (judges::vmlinux(), machine.space("commands"));
        fs::write(&commands, judges::CRASH_COMMANDS).unwrap();
        let [vmlinux, commands] = [&vmlinux, &commands].map(|path| path.to_str().unwrap());
        let crash = ["--with", "crash", "--vmlinux", vmlinux, "--", "-s", "-i", commands];
        judges::crash_has_read(&debug(&crash).expect(0).stdout);
        nothing_is_left(&temporary);
    }

    // SIGTERM goes to the debugger, and what was mounted goes with it.
    let script = machine.space("ends-its-parent.py");
    fs::write(&script, "import os, time\nos.kill(os.getppid(), 15)\ntime.sleep(60)\n").unwrap();
    debug(&["--with", "drgn", "--", script.to_str().unwrap()]).expect(128 + 15);
    nothing_is_left(&temporary);
}
