//! The Debian package: what is in it, and that it installs where nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::lacking::lacking;
use crate::tool::{Ran, run};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[track_caller]
fn finish(command: &mut Command) -> Ran {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
}

/// Packs the program under test. Gives none where this is no Debian.
fn pack() -> Option<(TempDir, PathBuf)> {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        lacking("dpkg-deb");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut pack = Command::new(project("packaging/build-deb"));
    pack.args(["--binary", env!("CARGO_BIN_EXE_vmcorectl"), "--output"]).arg(folder.path());
    let packed = finish(pack.env("DEB_LEVEL", "0")).expect(0);
    let path = PathBuf::from(packed.stdout.trim_end());
    Some((folder, path))
}

/// The commands with a manual page.
fn pages() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    run(["man", "--output", folder.path().to_str().unwrap()]).expect(0);
    let pages = fs::read_dir(folder.path()).unwrap();
    pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_package_has_what_a_host_needs() {
    let Some((_folder, package)) = pack() else { return };
    let files = finish(Command::new("dpkg-deb").arg("--contents").arg(&package)).expect(0).stdout;
    let modes: BTreeSet<_> = files
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            assert_eq!(words[1], "root/root", "{line}");
            (words[5].trim_start_matches('.').to_owned(), words[0].to_owned())
        })
        .collect();
    let has = |path: &str, mode: &str| {
        assert!(modes.contains(&(path.to_owned(), mode.to_owned())), "{path} {mode}: {modes:#?}");
    };
    let (program, file) = ("-rwxr-xr-x", "-rw-r--r--");
    has("/", "drwxr-xr-x");
    has("/usr/bin/vmcorectl", program);
    for page in pages() {
        has(&format!("/usr/share/man/man1/{page}.gz"), file);
    }
    has("/usr/share/bash-completion/completions/vmcorectl", file);
    has("/usr/share/zsh/vendor-completions/_vmcorectl", file);
    has("/usr/share/fish/vendor_completions.d/vmcorectl.fish", file);
    has("/usr/lib/tmpfiles.d/vmcorectl.conf", file);
    has("/usr/share/doc/vmcorectl/copyright", file);
    for hook in ["libvirt-qemu", "proxmox", "incus-events"] {
        has(&format!("/usr/share/vmcorectl/hooks/{hook}"), program);
    }
    has("/usr/share/vmcorectl/volatility/five_levels.py", file);
    has("/etc/vmcorectl.toml", file);
    for unit in fs::read_dir(project("samples/systemd")).unwrap() {
        let unit = unit.unwrap();
        has(&format!("/usr/lib/systemd/system/{}", unit.file_name().display()), file);
        // What a unit starts is in the package.
        let text = fs::read_to_string(unit.path()).unwrap();
        let starts = text.lines().filter_map(|line| line.strip_prefix("ExecStart="));
        for started in starts {
            has(started.split_whitespace().next().unwrap(), program);
        }
    }
    let field = |name: &str| {
        let mut ask = Command::new("dpkg-deb");
        finish(ask.arg("--field").arg(&package).arg(name)).expect(0).stdout.trim_end().to_owned()
    };
    assert_eq!(field("Package"), "vmcorectl");
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert!(field("Depends").starts_with("libc6 (>= 2."), "{}", field("Depends"));
}

/// A Debian that was just installed, of this machine's release. The first one is kept below
/// `target`; each test gets a copy.
struct FreshDebian {
    root: TempDir,
}

impl FreshDebian {
    fn new() -> Self {
        let archive = project("target/fresh-debian.tar");
        if !archive.exists() {
            let root = tempfile::tempdir_in(project("target")).unwrap();
            let release = fs::read_to_string("/etc/os-release").unwrap();
            let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
            let mut install = Command::new("debootstrap");
            install.args(["--variant=minbase", name.expect("a Debian")]).arg(root.path());
            // The archive of Debian by a name that every mirror of it redirects to.
            install
                .arg("http://deb.debian.org/debian")
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
            finish(&mut install).expect(0);
            let unfinished = archive.with_extension("new");
            let mut pack = Command::new("tar");
            pack.arg("--create").arg("--file").arg(&unfinished).arg("--one-file-system");
            finish(pack.arg("--directory").arg(root.path()).arg(".")).expect(0);
            fs::rename(unfinished, &archive).unwrap();
        }
        let root = tempfile::tempdir_in(project("target")).unwrap();
        let mut unpack = Command::new("tar");
        unpack.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(root.path());
        finish(&mut unpack).expect(0);
        Self { root }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut chroot = Command::new("chroot");
        chroot.arg(self.root.path()).args(arguments).env_clear();
        finish(chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C"))
    }

    fn has(&self, path: &str) -> bool {
        self.root.path().join(path).exists()
    }
}

#[test]
fn the_package_installs_and_runs_in_a_fresh_debian() {
    if std::env::var_os("VMCORECTL_TEST_FULL").is_none() {
        return;
    }
    let Some((_folder, package)) = pack() else { return };
    if !rustix::process::geteuid().is_root() {
        lacking("root, for a chroot");
        return;
    }
    let debian = FreshDebian::new();
    fs::copy(&package, debian.root.path().join("vmcorectl.deb")).unwrap();
    debian.run(&["dpkg", "--install", "/vmcorectl.deb"]).expect(0);
    let version = debian.run(&["vmcorectl", "--version"]).expect(0).stdout;
    assert_eq!(version, concat!("vmcorectl ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(debian.run(&["vmcorectl", "list"]).expect(0).stdout, "");
    // The configuration is the one of the package.
    assert!(debian.has("etc/vmcorectl.toml"));
    debian.run(&["vmcorectl", "watch", "--check"]).expect(0);
    debian.run(&["/usr/share/vmcorectl/hooks/libvirt-qemu", "g1", "started", "begin"]).expect(0);
    let spooled = fs::read_dir(debian.root.path().join("run/vmcorectl/spool")).unwrap();
    assert_eq!(spooled.count(), 1);
    // What was stored stays, also at a purge.
    fs::write(debian.root.path().join("var/lib/vmcorectl/core"), "").unwrap();
    debian.run(&["dpkg", "--purge", "vmcorectl"]).expect(0);
    assert!(!debian.has("usr/bin/vmcorectl") && !debian.has("etc/vmcorectl.toml"));
    assert!(debian.has("var/lib/vmcorectl/core"));
}
