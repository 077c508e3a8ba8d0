//! Files that are made of a hostile core, in the programs that they are for: none crashes, hangs, or
//! takes memory without a bound, and no terminal gets control characters.
//!
//! The types, symbols and ORC tables of the sample are damaged on purpose, in the ways that a guest
//! would choose, and at random.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vmcore_formats::btf::Kind;
use vmcorectl::kernel::Kernel;
use vmcorectl::vmlinux::{Contents, MadeVmlinux};

use crate::CORE;
use crate::damage::Damage;
use crate::leave_out::leave_out;
use crate::tool::run;
use crate::transcript::project;

/// What a program may use: gdb takes 1 GB for the sample's own file, and 10 s.
const MEMORY_KIB: u64 = 6 << 20;
const SECONDS: u64 = 300;
/// The longest file. That of the sample takes 40 MB.
const MAX_FILE: u64 = 512 << 20;
/// What a program may print.
const MAX_OUTPUT: u64 = 256 << 20;
/// What a terminal, a shell, a path or C would take for something else.
const BAD: &[u8] = b"\x1b\x07\n\r\"'\\`$;/<>{}% \x80\xff";

/// Numbers that look random, and are the same in each run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u32
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.next().is_multiple_of(count)
    }

    /// A number that is likely to be one too many.
    fn number(&mut self) -> u32 {
        let random = self.next();
        match random % 6 {
            0 => 0,
            1 => u32::MAX,
            2 => 0x7fff_ffff,
            3 => 1 << (random >> 8 & 31),
            4 => random >> 16,
            _ => random,
        }
    }
}

/// The words of each type in BTF: where they begin, its kind, and how many it has.
fn types(bytes: &[u8]) -> (Vec<(usize, Kind, usize)>, std::ops::Range<usize>) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let [head, start, length, strings, strings_length] =
        [4, 8, 12, 16, 20].map(|at| word(at) as usize);
    let mut found = Vec::new();
    let mut at = head + start;
    while at < head + start + length {
        let info = word(at + 4);
        let kind = Kind::of(info);
        let tail = kind.tail(info & 0xff_ffff, &[]).unwrap() as usize;
        found.push((at, kind, 3 + tail / 4));
        at += 12 + tail;
    }
    (found, head + strings..head + strings + strings_length)
}

/// Overwrites what is between two symbols.
fn change(damage: &mut Damage, from: &str, to: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let (start, end) = (damage.symbol(from), damage.symbol(to));
    let length = (end.0 - start.0) as usize;
    let mut bytes = damage.kernel.space.read_vec(start, length).unwrap();
    change(&mut bytes);
    damage.write(start, &bytes);
}

/// Changes words of some types: `which` says which word of how many, and of what kind.
fn words(seed: u64, which: impl Fn(Kind, usize) -> bool) -> Damage {
    let mut damage = Damage::new();
    let mut noise = Noise(seed);
    change(&mut damage, "__start_BTF", "__stop_BTF", |bytes| {
        for (start, kind, count) in types(bytes).0 {
            for word in 0..count {
                if which(kind, word) && noise.one_in(16) {
                    let at = start + word * 4;
                    bytes[at..at + 4].copy_from_slice(&noise.number().to_le_bytes());
                }
            }
        }
    });
    damage
}

/// Sizes, and the types that others refer to.
fn sizes_and_references() -> Damage {
    words(1, |_, word| word == 2)
}

/// Where members are, what they are, and how many elements arrays have.
fn members() -> Damage {
    words(2, |_, word| word > 2)
}

/// Each third type refers to itself, or to the next one, which refers to it.
fn circles() -> Damage {
    let mut damage = Damage::new();
    change(&mut damage, "__start_BTF", "__stop_BTF", |bytes| {
        for (id, (start, kind, count)) in (1_u32..).zip(types(bytes).0) {
            let to = (id ^ 1).to_le_bytes();
            match kind {
                Kind::Struct | Kind::Union => {
                    for member in (0..(count - 3) / 3).step_by(5) {
                        let at = start + 12 + member * 12 + 4;
                        bytes[at..at + 4].copy_from_slice(&id.to_le_bytes());
                    }
                }
                Kind::Array if id % 3 == 0 => bytes[start + 12..start + 16].copy_from_slice(&to),
                kind if id % 3 == 0 && kind.is_alias() => {
                    bytes[start + 8..start + 12].copy_from_slice(&to);
                }
                _ => {}
            }
        }
    });
    damage
}

/// Names of types and members.
fn type_names() -> Damage {
    let mut damage = Damage::new();
    let mut noise = Noise(3);
    change(&mut damage, "__start_BTF", "__stop_BTF", |bytes| {
        let strings = types(bytes).1;
        for byte in &mut bytes[strings] {
            if *byte != 0 && noise.one_in(8) {
                *byte = BAD[noise.next() as usize % BAD.len()];
            }
        }
    });
    damage
}

/// Names of symbols.
fn symbol_names() -> Damage {
    let mut damage = Damage::new();
    let mut noise = Noise(4);
    change(&mut damage, "kallsyms_token_table", "kallsyms_token_index", |bytes| {
        for byte in bytes {
            if *byte != 0 && noise.one_in(8) {
                *byte = BAD[noise.next() as usize % BAD.len()];
            }
        }
    });
    damage
}

/// Addresses of symbols.
fn addresses() -> Damage {
    let mut damage = Damage::new();
    let mut noise = Noise(5);
    change(&mut damage, "kallsyms_offsets", "kallsyms_relative_base", |bytes| {
        for word in bytes.chunks_exact_mut(4) {
            if noise.one_in(64) {
                word.copy_from_slice(&noise.number().to_le_bytes());
            }
        }
    });
    damage
}

/// How stacks are unwound.
fn unwinding() -> Damage {
    let mut damage = Damage::new();
    let mut noise = Noise(6);
    for (from, to) in [
        ("__start_orc_unwind_ip", "__stop_orc_unwind_ip"),
        ("__start_orc_unwind", "__stop_orc_unwind"),
    ] {
        change(&mut damage, from, to, |bytes| {
            for byte in bytes {
                if noise.one_in(16) {
                    *byte = noise.next() as u8;
                }
            }
        });
    }
    damage
}

/// A file that is made of a damaged core. None, if none can be.
fn made(damage: Damage, folder: &Path) -> Option<PathBuf> {
    let path = folder.join("vmlinux");
    let core = damage.overlaid();
    let kernel = Kernel::find(&core).ok()?;
    let made = MadeVmlinux::of(&kernel).ok()?;
    for sentence in made.findings() {
        assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
    }
    let file = File::create_new(&path).unwrap();
    made.write(Contents::Memory, &file).unwrap();
    assert!(file.metadata().unwrap().len() < MAX_FILE, "{} bytes", file.metadata().unwrap().len());
    Some(path)
}

/// Runs a program within its limits. It has to end by itself, and prints no control characters.
fn within_limits(what: &str, program: &str, arguments: &[&str]) {
    let limits = format!("ulimit -v {MEMORY_KIB} -t {SECONDS} -c 0; exec \"$0\" \"$@\" 2>&1");
    let mut command = Command::new("bash");
    command.args(["-c", &limits, program]).args(arguments).env("LC_ALL", "C.UTF-8");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = Vec::new();
    child.stdout.take().unwrap().take(MAX_OUTPUT).read_to_end(&mut output).unwrap();
    assert!((output.len() as u64) < MAX_OUTPUT, "{what}: {program} prints without an end");
    let status = child.wait().unwrap();
    let tail = String::from_utf8_lossy(&output[output.len().saturating_sub(2000)..]).into_owned();
    assert!(matches!(status.code(), Some(0 | 1)), "{what}: {program}: {status}: {tail}");
    let bad = |byte: &u8| byte.is_ascii_control() && !b"\n\t".contains(byte);
    if let Some(at) = output.iter().position(bad) {
        let around = &output[at.saturating_sub(80)..(at + 80).min(output.len())];
        panic!("{what}: {program} prints {:?}", String::from_utf8_lossy(around));
    }
}

#[test]
fn no_debugger_is_harmed_by_what_a_hostile_core_made() {
    type Make = fn() -> Damage;
    let kinds: [(&str, Make); 7] = [
        ("sizes and references", sizes_and_references),
        ("members", members),
        ("circles", circles),
        ("names of types", type_names),
        ("names of symbols", symbol_names),
        ("addresses", addresses),
        ("unwinding", unwinding),
    ];
    let others = tempfile::tempdir().unwrap();
    let [core, script] = ["core.elf", "types.py"].map(|name| others.path().join(name));
    run(["export", CORE, "--format", "elf", "-o", core.to_str().unwrap()]).expect(0);
    fs::write(&script, DRGN).unwrap();
    let mut opened = 0;
    for (what, damage) in kinds {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = made(damage(), folder.path()) else {
            println!("no file is made: {what}");
            continue;
        };
        opened += 1;
        in_programs(what, &path, &core, &script);
    }
    assert!(opened >= 5, "{opened} files");
}

fn in_programs(what: &str, path: &Path, core: &Path, script: &Path) {
    let file = path.to_str().unwrap();
    within_limits(what, "readelf", &["-hlSnsuW", file]);
    within_limits(what, "readelf", &["--debug-dump=info,abbrev,aranges,Ranges", "-W", file]);
    let gdb = Command::new("gdb").arg("--version").stdout(Stdio::null()).status();
    if gdb.is_ok() || is_wanted("gdb") {
        let mut arguments = vec!["-q", "-nx", "-batch", "-iex", "set debuginfod enabled off"];
        for command in [
            "maint expand-symtabs",
            "info types -q ^[a-d]",
            "info functions -q -n ^__x64_sys_",
            "info line schedule",
            "ptype /o struct task_struct",
            "ptype /o struct page",
            "ptype struct net_device",
            "p sizeof(struct rq)",
            "p init_task",
            "p *init_task.mm",
            "p &((struct inode *) 0)->i_sb",
            "x/4i panic",
            "info scope panic",
        ] {
            arguments.extend(["-ex", command]);
        }
        arguments.push(file);
        within_limits(what, "gdb", &arguments);
    }
    let drgn = project().join("target/drgn-venv/bin/drgn");
    if drgn.exists() || is_wanted("drgn, in target/drgn-venv") {
        let [drgn, core, script] = [&drgn, core, script].map(|path| path.to_str().unwrap());
        within_limits(what, drgn, &["-q", "-c", core, "-s", file, script]);
    }
}

/// Fails for a program that is not there, unless it may be left out.
fn is_wanted(program: &str) -> bool {
    let line =
        format!("hostile files are not opened in {program}: it is missing; tests/run installs it");
    assert!(leave_out(&line), "hostile files have to be opened in {program}, which is missing");
    false
}

/// Looks up types, a variable and stacks. What cannot be found is an error, and no more.
const DRGN: &str = r#"
names = ["task_struct", "page", "rq", "mm_struct", "inode", "dentry", "net_device", "sock", "module", "file"]
looks = [lambda name=name: str(prog.type("struct " + name)) for name in names]
looks += [lambda name=name: str(prog[name]) for name in ["init_task", "modules", "runqueues", "slab_caches"]]
looks += [lambda: str(prog.crashed_thread().stack_trace()), lambda: str(prog.function("panic"))]
found = 0
for look in looks:
    try:
        found += len(look()) > 0
    except Exception:
        pass
print("found", found)
"#;
