use super::*;
use crate::kernel::test_kernel::Member::{Number, Of, Text};
use crate::kernel::test_kernel::btf::Builder;
use crate::kernel::test_kernel::{DIRECT, TestKernel};

const HEAD: u64 = DIRECT + 0x1_0000;
const ENTRY: u64 = DIRECT + 0x1_1000;
const BTF: u64 = DIRECT + 0x1_2000;
const DATA: u64 = DIRECT + 0x2_0000;
const MODULES: u64 = DIRECT + 0x1_3000;
const MODULE: VirtAddr = VirtAddr(DIRECT + 0x3_0000);
/// A module without types.
const WITHOUT: VirtAddr = VirtAddr(DIRECT + 0x3_1000);

/// A kernel that keeps the types of one module: a structure with a member of the kernel's.
fn kernel() -> TestKernel {
    let mut kernel = TestKernel::new();
    let list = kernel.structure("list_head", 16, &[("next", Number(8), 0), ("prev", Number(8), 8)]);
    let entry = [("list", Of(list), 0), ("module", Number(8), 0x10), ("btf", Number(8), 0x18)];
    kernel.structure("btf_module", 0x20, &entry);
    let module = [("state", Number(4), 0), ("list", Of(list), 8), ("name", Text(56), 0x18)];
    kernel.structure("module", 0x80, &module);
    let btf = [
        ("data", Number(8), 0),
        ("data_size", Number(4), 8),
        ("start_id", Number(4), 12),
        ("start_str_off", Number(4), 16),
    ];
    kernel.structure("btf", 0x20, &btf);
    let base = kernel.build();
    let base = base.types().unwrap().btf().unwrap();
    let mut types = Builder::split(base.next_id(), base.next_string());
    types.aggregate(4, "of_module", 0x20, &[("links", list, 64, 0)]);
    let data = types.build();
    kernel
        .symbol("modules", MODULES)
        .list(MODULES, &[MODULE.0 + 8, WITHOUT.0 + 8])
        .symbol("btf_modules", HEAD)
        .list(HEAD, &[ENTRY])
        .words(ENTRY + 0x10, &[MODULE.0, BTF])
        .words(BTF, &[DATA, u64::from(base.next_id()) << 32 | data.len() as u64])
        .words(BTF + 16, &[base.next_string().into()])
        .bytes(DATA, &data)
}

fn said(kernel: &TestKernel) -> String {
    kernel.build().module_types(MODULE).unwrap_err().to_string()
}

#[test]
fn a_modules_types_go_on_from_the_kernels() {
    let kernel = kernel().build();
    let types = kernel.module_types(MODULE).unwrap();
    assert_eq!(types.offset("of_module", "links.prev").unwrap(), 16);
    assert_eq!(types.size("btf_module").unwrap(), 0x20);
    assert!(!kernel.types().unwrap().has("of_module", "links"));
    assert!(Arc::ptr_eq(&types, &kernel.module_types(MODULE).unwrap()));
    let other = kernel.module_types(WITHOUT).unwrap_err();
    assert!(other.to_string().starts_with("the kernel has no BTF of the module at "));
}

#[test]
fn what_is_damaged_or_missing_says_so() {
    let whole = kernel();
    let too_long = whole.clone().bytes(BTF + 8, &[0xff; 4]);
    assert!(said(&too_long).ends_with("would have 4294967295 bytes"));
    let other_base = whole.clone().bytes(BTF + 12, &7_u32.to_le_bytes());
    assert!(
        said(&other_base).contains("begins with type id 7, and the kernel's types end before ")
    );
    let elsewhere = whole.clone().words(BTF, &[0x1000]);
    assert!(said(&elsewhere).contains("cannot be read"));
    let noise = whole.clone().words(DATA, &[0x1234]);
    assert!(said(&noise).contains("is damaged"));
    let nowhere = whole.clone().words(ENTRY + 0x18, &[0]);
    assert_eq!(said(&nowhere), "btf_module.btf is null");
    let circle = whole.words(ENTRY, &[ENTRY, ENTRY]).words(ENTRY + 0x10, &[0]);
    assert!(said(&circle).starts_with("the kernel has no BTF of the module at "));
    assert!(said(&TestKernel::new()).starts_with("the kernel keeps no BTF of modules"));
}

/// Where a file system says that its module is, and no module is.
#[test]
fn only_what_is_in_the_list_of_modules_is_one() {
    let kernel = kernel();
    for owner in [VirtAddr(1), MODULE.wrapping_add(8), VirtAddr(HEAD)] {
        let entry = kernel.clone().words(ENTRY + 0x10, &[owner.0]).build();
        let error = entry.module_types(owner).unwrap_err();
        assert!(error.to_string().starts_with("the kernel has no module at "), "{error}");
    }
    assert!(kernel.build().module_types.known.read().unwrap().is_empty());
}

/// 1,000 modules with 4 MiB of BTF each took 4.4 GB.
#[test]
fn the_types_of_all_modules_together_have_a_budget() {
    const COUNT: u64 = 8;
    let at = |index: u64| MODULE.0 + 0x1_0000 + index * 0x100;
    let entry = |index: u64| ENTRY + 0x100 + index * 0x40;
    let nodes: Vec<_> = (0..COUNT).map(|index| at(index) + 8).collect();
    let entries: Vec<_> = (0..COUNT).map(entry).collect();
    let mut kernel = kernel().list(MODULES, &nodes).list(HEAD, &entries);
    for index in 0..COUNT {
        // All of them lead to one text, which is read for each.
        kernel = kernel.words(entry(index) + 0x10, &[at(index), BTF]);
    }
    let mut kernel = kernel.build();
    let size = kernel.space.read_u32(VirtAddr(BTF + 8)).unwrap();
    kernel.module_types.left = Budget::of(u64::from(size) * 3);
    let types: Vec<_> = (0..COUNT).map(|index| kernel.module_types(VirtAddr(at(index)))).collect();
    assert_eq!(types.iter().filter(|types| types.is_ok()).count(), 3);
    let error = types.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(error.starts_with("the BTF of all modules was not read: it takes more"), "{error}");
    // What is known stays known.
    assert!(kernel.module_types(VirtAddr(at(0))).is_ok());
}
