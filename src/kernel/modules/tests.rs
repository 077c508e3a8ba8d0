use super::*;
use crate::kernel::test_kernel::Member::{Array, Number, Of, Text};
use crate::kernel::test_kernel::{DIRECT, Noise, TestKernel};

const HEAD: u64 = DIRECT + 0x1_0000;
/// How far the links are from the beginning of a module.
const LIST: u64 = 8;
const MODULES: u64 = 5;

fn module(index: u64) -> u64 {
    DIRECT + 0x2_0000 + index * 0x400
}

fn code(index: u64) -> u64 {
    0xffff_ffff_c000_0000 + index * 0x1_0000
}

/// A kernel with modules `m0` to `m4`; `m1` is used by `m3` and `m4`. Since Linux 6.4 they have
/// parts in an array, and two parts before that.
fn kernel(with_array: bool) -> TestKernel {
    let mut kernel = TestKernel::new();
    let part =
        kernel.structure("module_memory", 0x10, &[("base", Number(8), 0), ("size", Number(4), 8)]);
    let layout = kernel.structure(
        "module_layout",
        0x18,
        &[("base", Number(8), 0), ("size", Number(4), 8), ("text_size", Number(4), 12)],
    );
    let counter = kernel.structure("atomic", 4, &[("counter", Number(4), 0)]);
    let list = kernel.structure("list_head", 16, &[("next", Number(8), 0), ("prev", Number(8), 8)]);
    let mut members = vec![
        ("state", Number(4), 0),
        ("list", Of(list), 8),
        ("name", Text(56), 0x18),
        ("taints", Number(8), 0x50),
        ("refcnt", Of(counter), 0x58),
        ("source_list", Of(list), 0x60),
        ("kallsyms", Number(8), 0x70),
    ];
    if with_array {
        kernel.types().enumeration(
            6,
            "mod_mem_type",
            &[("MOD_TEXT", 0), ("MOD_DATA", 1), ("MOD_INIT_TEXT", 2)],
        );
        members.push(("mem", Array(part, 3), 0x80));
    } else {
        members.extend([("core_layout", Of(layout), 0x80), ("init_layout", Of(layout), 0x98)]);
    }
    kernel.structure("module", 0x200, &members);
    kernel.structure(
        "module_use",
        0x20,
        &[("source_list", Of(list), 0), ("source", Number(8), 0x18)],
    );
    let nodes: Vec<_> = (0..MODULES).map(|index| module(index) + LIST).collect();
    let mut kernel = kernel.symbol("modules", HEAD).list(HEAD, &nodes);
    for index in 0..MODULES {
        let at = module(index);
        let parts = match with_array {
            true => vec![code(index), 0x1000, code(index) + 0x4000, 0x2000, 0, 0x7000],
            false => vec![code(index), 0x1000 << 32 | 0x3000, 0, 0, 0, 0],
        };
        kernel = kernel
            .bytes(at + 0x18, format!("m{index}").as_bytes())
            .words(at + 0x58, &[index + 1])
            .words(at + 0x80, &parts);
        let users: Vec<u64> = if index == 1 { vec![3, 4] } else { Vec::new() };
        let uses: Vec<_> = users.iter().map(|user| DIRECT + 0x3_0000 + user * 0x40).collect();
        kernel = kernel.list(at + 0x60, &uses);
        for (user, at) in users.iter().zip(uses) {
            kernel = kernel.words(at + 0x18, &[module(*user)]);
        }
    }
    kernel
}

fn names(modules: &Modules) -> Vec<&str> {
    modules.modules.iter().map(|module| module.name.as_str()).collect()
}

#[test]
fn modules_have_their_parts_users_and_references_in_both_layouts() {
    for with_array in [true, false] {
        let modules = Modules::of(&kernel(with_array).build());
        assert_eq!(modules.findings, [""; 0]);
        assert_eq!(names(&modules), ["m0", "m1", "m2", "m3", "m4"]);
        assert_eq!(modules.modules[1].users.as_deref().unwrap(), ["m3", "m4"]);
        assert!(modules.modules[3].users.as_ref().unwrap().is_empty());
        let third = modules.named("m3").unwrap();
        let range = |base, size, kind| ModuleRange { base: VirtAddr(base), size, kind };
        let data = if with_array { (code(3) + 0x4000, 0x2000) } else { (code(3) + 0x1000, 0x2000) };
        let parts =
            [range(code(3), 0x1000, RangeKind::Text), range(data.0, data.1, RangeKind::Data)];
        assert_eq!(third.ranges, parts);
        assert_eq!((third.size, third.references), (Some(0x3000), Some(3)));
        assert_eq!((third.state, third.at), (ModuleState::Live, VirtAddr(module(3))));
        assert_eq!(modules.containing(VirtAddr(data.0 + 0x1fff)).unwrap().name, "m3");
        assert_eq!(modules.containing(VirtAddr(data.0 + 0x2000)), None);
    }
}

#[test]
fn a_list_that_is_broken_or_goes_in_a_circle_costs_no_module() {
    for next in [0, module(1) + LIST, module(2) + LIST, 0xdead_beef] {
        let damaged = kernel(true).bytes(module(2) + LIST, &u64::to_le_bytes(next));
        let modules = Modules::of(&damaged.build());
        assert_eq!(names(&modules), ["m0", "m1", "m2", "m3", "m4"], "{next:#x}");
        assert!(modules.findings[0].contains("the list of modules is damaged"));
    }
}

#[test]
fn a_list_of_users_that_is_broken_is_a_finding_and_the_modules_are_there() {
    let damaged = kernel(true).words(module(1) + 0x60, &[0x10, 0x10]);
    let modules = Modules::of(&damaged.build());
    assert_eq!(names(&modules).len(), 5);
    assert!(
        modules.findings[0].contains("the list of users of module m1"),
        "{:?}",
        modules.findings
    );
}

#[test]
fn parts_of_any_size_are_no_parts_and_unknown_states_are_kept_as_numbers() {
    let whole = kernel(true).words(module(0), &[77]);
    let whole =
        whole.list(HEAD, &(0..MODULES).map(|index| module(index) + LIST).collect::<Vec<_>>());
    let damaged = whole.words(module(0) + 0x80, &[code(0), 0xffff_ffff, 0, 0x1000]);
    let modules = Modules::of(&damaged.build());
    assert_eq!(modules.modules[0].state, ModuleState::Unknown(77));
    assert!(modules.modules[0].ranges.is_empty());
}

#[test]
fn without_types_or_the_list_there_are_none_and_a_finding() {
    let empty = TestKernel::new();
    for kernel in [empty.clone(), empty.symbol("modules", HEAD)] {
        let modules = Modules::of(&kernel.build());
        assert!(modules.modules.is_empty());
        assert!(modules.findings[0].starts_with("modules cannot be listed: "));
    }
}

#[test]
fn random_damage_ends_and_gives_each_module_once() {
    let whole = kernel(true);
    let mut noise = Noise(0x0123_4567_89ab_cdef);
    for _ in 0..200 {
        let mut damaged = whole.clone();
        for _ in 0..=noise.below(8) {
            let at = DIRECT + 0x1_0000 + noise.below(0x2_2000) / 8 * 8;
            damaged.write(at, &noise.next().to_le_bytes());
            let at = module(noise.below(MODULES)) + noise.below(0x18) * 8;
            let word = if noise.below(2) == 0 {
                module(noise.below(MODULES)) + LIST
            } else {
                noise.next()
            };
            damaged.write(at, &word.to_le_bytes());
        }
        let modules = Modules::of(&damaged.build());
        let mut places: Vec<_> = modules.modules.iter().map(|module| module.at).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), modules.modules.len());
        assert!(modules.modules.iter().all(|module| module.ranges.len() <= 3));
    }
}
