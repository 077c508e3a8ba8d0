//! The vmlinux that is made of the sample.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use crate::CORE;
use crate::tool::run;

/// The file, in a folder that goes with it.
fn made() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinux");
    run(["symbols", CORE, "-o", path.to_str().unwrap()]).expect(0);
    (folder, path)
}

#[test]
fn it_has_the_build_id_symbols_and_sections_of_a_vmlinux() {
    let (_folder, path) = made();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() < 60 << 20, "{} bytes", bytes.len());
    let file = object::File::parse(&*bytes).unwrap();
    let id: String = file.build_id().unwrap().unwrap().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(id, "bb603a9147d3efe4744bf83c83eee397c591cc20");
    for name in [".text", ".data", ".init.text", ".orc_unwind", ".orc_unwind_ip", ".debug_info"] {
        assert!(file.section_by_name(name).is_some(), "no {name}");
    }
    let text = file.section_by_name(".text").unwrap();
    assert_eq!((text.address(), text.kind()), (0xffff_ffff_8100_0000, SectionKind::Text));
    let banner = b"Linux version 6.1.0-50-cloud-amd64 (debian-kernel@lists.debian.org)";
    let rodata = file.section_by_name(".rodata").unwrap().data().unwrap();
    assert!(rodata.windows(banner.len()).any(|at| at == banner), "no banner");
    let per_cpu = file.symbols().find(|symbol| symbol.name() == Ok("runqueues")).unwrap();
    let section = file.section_by_index(per_cpu.section_index().unwrap()).unwrap();
    assert_eq!((section.name(), section.address()), (Ok(".data..percpu"), 0));
    assert!(file.symbols().count() > 80_000);
}

#[test]
fn readelf_has_nothing_to_complain_of() {
    let (_folder, path) = made();
    let says = |arguments: &[&str]| {
        let output = Command::new("readelf").args(arguments).arg(&path).output();
        let output = output.expect("readelf, of Debian's package binutils");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(
            !text.contains("Warning:") && !text.contains("Error:"),
            "{arguments:?}: {text:.2000}"
        );
        text
    };
    says(&["-hlSnW"]);
    says(&["-sW"]);
    let entries = says(&["--debug-dump=info,aranges,Ranges"]);
    assert!(entries.matches("(DW_TAG_subprogram)").count() > 20_000);
}

#[test]
fn no_file_is_replaced() {
    let (_folder, path) = made();
    run(["symbols", CORE, "-o", path.to_str().unwrap()]).expect(1).says("exists");
    assert!(!Path::new(&format!("{}.incomplete", path.display())).exists());
}

#[test]
fn what_debug_caches_depends_on_the_build_alone() {
    let folder = tempfile::tempdir().unwrap();
    let make = |more: &[&str]| {
        let asked = ["symbols", CORE, "--cached", "-o", folder.path().to_str().unwrap()];
        let ran = run(asked.iter().chain(more)).expect(0);
        PathBuf::from(ran.stdout.trim_end())
    };
    let path = make(&[]);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("bb603a9147d3efe4744bf83c83eee397c591cc20-"), "{name}");
    let inode = || fs::metadata(&path).unwrap().ino();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let first = inode();
    assert_eq!((make(&[]), inode()), (path.clone(), first));
    assert_eq!(make(&["--fresh"]), path);
    assert_ne!(inode(), first);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    // Neither code nor data is in it, but what debuggers read of the file.
    let bytes = fs::read(&path).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let of = |name| file.section_by_name(name).unwrap().data().unwrap();
    assert!(of(".text").iter().chain(of(".data")).all(|byte| *byte == 0));
    assert!(of(".orc_unwind").iter().any(|byte| *byte != 0));
    let banner = b"Linux version 6.1.0-50-cloud-amd64";
    assert!(of(".rodata").windows(banner.len()).any(|at| at == banner), "no banner");
}

#[test]
fn files_of_modules_are_cached_beside_and_depend_on_the_build_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (kernels, modules) = (inside("vmlinux"), inside("modules"));
    let make = |core: &str, more: &[&str]| -> Vec<PathBuf> {
        let words = ["symbols", core, "--cached", "-o", &kernels, "--modules", &modules];
        run([&words, more].concat()).expect(0).stdout.lines().map(PathBuf::from).collect()
    };
    fs::create_dir(&kernels).unwrap();
    fs::create_dir(&modules).unwrap();
    let made = make(CORE, &[]);
    let [vmlinux, of_modules] = &made[..] else { panic!("{made:?}") };
    assert_eq!(vmlinux.parent(), Some(Path::new(&kernels)));
    assert_eq!(of_modules.parent(), Some(Path::new(&modules)));
    let module = of_modules.join("virtio_blk.ko");
    let bytes = fs::read(&module).unwrap();
    assert!(object::File::parse(&*bytes).unwrap().section_by_name(".debug_info").is_some());
    let commands = fs::read_to_string(of_modules.join("crash.commands")).unwrap();
    assert_eq!(commands, format!("mod -S {} > /dev/null\n", of_modules.display()));
    let inode = || fs::metadata(&module).unwrap().ino();
    let first = inode();
    assert_eq!((make(CORE, &[]), inode()), (made.clone(), first));
    assert_eq!(make(CORE, &["--fresh"]), made);
    assert_ne!(inode(), first);
    assert_eq!(fs::read_dir(&modules).unwrap().count(), 1);
}
