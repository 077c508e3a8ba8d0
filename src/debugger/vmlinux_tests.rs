use std::fs::{self, File};

use super::*;

const RELEASE: &str = "6.1.0-48-cloud-amd64";

/// A program that is certainly there, and has a build id.
fn this_program() -> (PathBuf, BuildId) {
    let path = PathBuf::from("/bin/ls");
    let file = PlainFile::new(File::open(&path).unwrap()).unwrap();
    let id = build_id(&file).unwrap().unwrap().expect("a build id in /bin/ls");
    (path, id)
}

fn places(root: &Path) -> SymbolPaths {
    SymbolPaths { root: root.to_owned(), debuginfod: Some(root.join("cache")) }
}

fn kernel(build_id: Option<BuildId>) -> KernelBuild {
    KernelBuild { release: Some(RELEASE.to_owned()), build_id }
}

#[test]
fn the_build_id_is_the_one_that_readelf_shows() {
    let (path, id) = this_program();
    let output = std::process::Command::new("readelf").arg("-n").arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&id.to_string()), "{text}");
}

#[test]
fn a_vmlinux_is_found_in_each_of_its_places() {
    let (program, id) = this_program();
    let digits = id.to_string();
    for place in [
        format!("usr/lib/debug/.build-id/{}/{}.debug", &digits[..2], &digits[2..]),
        format!("cache/{digits}/debuginfo"),
        format!("usr/lib/debug/boot/vmlinux-{RELEASE}"),
        format!("usr/lib/debug/lib/modules/{RELEASE}/vmlinux"),
        format!("boot/vmlinux-{RELEASE}"),
        format!("lib/modules/{RELEASE}/build/vmlinux"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(&place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&program, &path).unwrap();
        let found = kernel(Some(id.clone())).find(&places(root.path())).unwrap();
        assert_eq!((found.path, found.verified), (path, true));
    }
}

#[test]
fn one_of_another_build_is_passed_over_and_reported() {
    let (program, id) = this_program();
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("boot")).unwrap();
    let other = root.path().join(format!("boot/vmlinux-{RELEASE}"));
    fs::copy(&program, &other).unwrap();
    let wanted = kernel(Some("00112233".parse().unwrap()));
    let error = wanted.find(&places(root.path())).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Linux 6.1.0-48-cloud-amd64 (build id 00112233)"), "{text}");
    assert!(text.contains("cache/00112233/debuginfo"), "{text}");
    let unfit = format!("{} has build id {id}, but the core's kernel has", other.display());
    assert!(text.contains(&unfit), "{text}");
    assert!(error.hint().contains("linux-image-6.1.0-48-cloud-amd64-dbg"), "{}", error.hint());
}

#[test]
fn without_a_build_id_in_the_core_nothing_is_verified() {
    let (program, _) = this_program();
    let unverified = kernel(None).check(&program).unwrap();
    assert_eq!((unverified.path, unverified.verified), (program, false));
}

#[test]
fn what_is_no_elf_file_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in [&b""[..], b"\x7fELF", &[0; 4096]] {
        fs::write(file.path(), content).unwrap();
        let error = kernel(None).check(file.path()).unwrap_err();
        assert!(matches!(error, VmlinuxError::NotElf { .. }), "{error}");
    }
    let error = kernel(None).check(Path::new("/no/such/file")).unwrap_err();
    assert!(matches!(error, VmlinuxError::Data { .. }), "{error}");
}

#[test]
fn a_release_that_is_no_name_leads_nowhere() {
    for release in ["../../etc/passwd", "a/b", "..", "", ".hidden", "a\nb", "ä"] {
        let kernel = KernelBuild { release: Some(release.to_owned()), build_id: None };
        assert!(kernel.candidates(&places(Path::new("/"))).is_empty(), "{release}");
    }
}
