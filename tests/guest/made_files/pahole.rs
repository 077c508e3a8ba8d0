//! pahole's view of the types: of the made file's DWARF, and of the BTF that it was made out of.
//!
//! Both are printed as C: each structure and union with its members, what types these have, their
//! offsets, bits and holes. Not a line may differ. Values of enumerations are gdb's part
//! ([`super::Made::types_in_gdb`]): pahole prints those of BTF without their signs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What pahole concludes from DWARF alone, and what it says to compilers.
const OPTIONS: &[&str] =
    &["--suppress_aligned_attribute", "--suppress_force_paddings", "--suppress_packed"];

/// Compares them. `folder` is for the BTF.
pub(super) fn same_types(vmlinux: &Path, folder: &Path) {
    let btf = folder.join("btf");
    fs::write(&btf, btf_of(vmlinux)).unwrap();
    let structures = |format: &str, file: &Path| pahole(&["-a", "-F", format], file);
    let theirs = structures("btf", &btf);
    assert!(theirs.matches("\nstruct ").count() > 5000, "{} lines", theirs.lines().count());
    same(&theirs, &structures("dwarf", vmlinux));

    // It lists unions only where they are named.
    let all = pahole(&["--compile", "-F", "btf"], &btf);
    let is_union = |line: &str| Some(line.strip_prefix("union ")?.strip_suffix(" {")?.to_owned());
    let names: Vec<String> = all.lines().filter_map(is_union).collect();
    assert!(names.len() > 100, "{} unions", names.len());
    let list = folder.join("unions");
    fs::write(&list, names.join("\n")).unwrap();
    let list = format!("file://{}", list.display());
    let unions = |format: &str, file: &Path| pahole(&["-C", &list, "-F", format], file);
    let theirs = unions("btf", &btf);
    assert!(theirs.matches("union ").count() >= names.len(), "{theirs}");
    same(&theirs, &unions("dwarf", vmlinux));
}

#[track_caller]
fn same(theirs: &str, ours: &str) {
    let differs = theirs.lines().zip(ours.lines()).position(|(theirs, ours)| theirs != ours);
    let around = |text: &str, at: usize| -> String {
        text.lines().skip(at.saturating_sub(10)).take(20).map(|line| format!("{line}\n")).collect()
    };
    if let Some(at) = differs {
        panic!("BTF:\n{}\nDWARF:\n{}", around(theirs, at), around(ours, at));
    }
    assert_eq!(theirs.len(), ours.len());
}

fn pahole(options: &[&str], file: &Path) -> String {
    let mut pahole = Command::new("pahole");
    pahole.args(OPTIONS).args(options).arg(file).stdin(Stdio::null());
    let output = pahole.output().expect("pahole starts: tests/run installs it");
    assert!(output.status.success(), "{pahole:?}: {output:?}");
    String::from_utf8(output.stdout).expect("C")
}

/// The kernel's BTF, which is in the contents of `.rodata`.
fn btf_of(vmlinux: &Path) -> Vec<u8> {
    let bytes = fs::read(vmlinux).unwrap();
    let word = |at: &[u8], number: usize| {
        let four = at.get(number * 4..number * 4 + 4)?;
        Some(u32::from_le_bytes(four.try_into().unwrap()) as usize)
    };
    let end = |at: &[u8]| {
        let [head, types, types_length, texts, texts_length] = [1, 2, 3, 4, 5].map(|n| word(at, n));
        let end = head? + (types? + types_length?).max(texts? + texts_length?);
        (head? == 24 && types_length? > 200_000 && end <= at.len()).then_some(end)
    };
    let magic = [0x9f, 0xeb, 1, 0];
    let places = bytes.windows(4).enumerate().filter(|(_, at)| *at == magic);
    let found = places.map(|(at, _)| &bytes[at..]).find_map(|at| Some(&at[..end(at)?]));
    found.expect("no BTF in the file").to_vec()
}
