//! Code that a kernel makes itself: a BPF program, and a trampoline of ftrace for a probe.
//!
//! Only in the full run. The judge is the guest's own `/proc/kallsyms`, on its console.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use vmcore_formats::addr::VirtAddr;
use vmcorectl::kernel::{CodeAddress, Kernel};
use vmcorectl::vmcore::Vmcore;

use crate::machine::Machine;
use crate::tool::run;

/// What the guest does before it says that it is ready.
const BEFORE_READY: &str =
    "/generated & sleep 1; grep -E '\\[(bpf|__builtin__ftrace)\\]' /proc/kallsyms\n";

#[test]
fn code_that_the_kernel_made_has_the_names_that_the_kernel_has_for_it() {
    if env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    for folder in ["guest-6.1", "guest-7.2"] {
        let space = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let guest = guest(space.path(), folder);
        // A probe at the start of a function goes through ftrace.
        let append = "kprobe_event=p,do_nanosleep";
        let folder_of = guest.to_str().unwrap();
        let machine =
            Machine::panicked(&["--memory", "256M", "--guest", folder_of, "--append", append]);
        let core = machine.space("core.zst");
        run(["capture", &machine.monitor(), "--quit", "--output", core.to_str().unwrap()])
            .expect(0);
        named_as_the_guest_names_them(&core, &machine.console());
    }
}

fn named_as_the_guest_names_them(core: &Path, console: &str) {
    let kernel = Kernel::find(&Vmcore::open(core).unwrap()).unwrap();
    let (mut programs, mut trampolines) = (0, 0);
    for line in console.lines() {
        let Some((symbol, owner)) = line.trim_end().split_once('\t') else { continue };
        if !["[bpf]", "[__builtin__ftrace]"].contains(&owner) {
            continue;
        }
        let [at, _, name] = symbol.split(' ').collect::<Vec<_>>()[..] else { continue };
        let at = VirtAddr(u64::from_str_radix(at, 16).expect("an address"));
        let inside = VirtAddr(at.0 + 1);
        let place = kernel.resolve(CodeAddress::Instruction(inside));
        let place = place.unwrap_or_else(|| panic!("{line}: no place"));
        assert_eq!((place.name.as_str(), place.offset), (name, 1), "{line}");
        assert!(kernel.is_text(at) && place.size > 1, "{line}: {place}");
        match owner {
            "[bpf]" => programs += 1,
            _ => trampolines += 1,
        }
        assert_eq!(place.module.as_deref(), (owner == "[bpf]").then_some("bpf"), "{line}");
    }
    assert!(programs > 0 && trampolines > 0, "{programs} and {trampolines}: {console}");
}

/// A guest like that of `folder`, with one more program, which its init starts.
fn guest(space: &Path, folder: &str) -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let original = project.join("target").join(folder);
    let (guest, files) = (space.join("guest"), space.join("files"));
    fs::create_dir_all(&guest).unwrap();
    fs::create_dir_all(&files).unwrap();
    for name in ["vmlinuz", "kernel-version", "architecture"] {
        symlink(original.join(name), guest.join(name)).unwrap();
    }
    let mut gcc = Command::new("gcc");
    gcc.args(["-static", "-o"]).arg(files.join("generated"));
    assert!(gcc.arg(project.join("tests/guest/generated.c")).status().unwrap().success());
    let init = fs::read_to_string(project.join("samples/guest/init")).unwrap();
    let ready = init.find("echo \"GUEST-READY").expect("where it is ready");
    fs::write(files.join("init"), [&init[..ready], BEFORE_READY, &init[ready..]].concat()).unwrap();
    // The kernel unpacks one archive after the other: later files replace earlier ones.
    let script = "chmod +x init && printf '%s\\n' init generated | cpio --quiet -o -H newc \
        | gzip -1 | cat \"$1\" - > \"$2\"";
    let mut shell = Command::new("sh");
    shell.current_dir(&files).args(["-c", script, "sh"]);
    shell.arg(original.join("initramfs.gz")).arg(guest.join("initramfs.gz"));
    assert!(shell.status().unwrap().success());
    guest
}
