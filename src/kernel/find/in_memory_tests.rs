use std::sync::Arc;

use vmcore_formats::elf::machine::EM_X86_64;
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::endian::Endian;

use super::*;
use crate::kernel::test_kernel::TestMemory;

/// A kernel's image at `base` in memory, 2 MiB at 0xffffffff80000000: its root at
/// 0x1000 of it, `init_uts_ns` at 0x5000, the text at `page`.
fn with_kernel(memory: TestMemory, base: u64, release: &str, page: u64) -> TestMemory {
    memory
        .word(base + 0x1000 + 511 * 8, (base + 0x2000) | 0x67)
        .word(base + 0x2000 + 510 * 8, (base + 0x3000) | 0x67)
        .word(base + 0x3000, base | 0xe3)
        .bytes(base + 0x5040, release.as_bytes())
        .bytes(page, text(base, release).as_bytes())
}

fn text(base: u64, release: &str) -> String {
    format!(
        "OSRELEASE={release}\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff80005000\n\
         SYMBOL(swapper_pg_dir)=ffffffff80001000\nNUMBER(phys_base)={base}\n"
    )
}

fn judge_of(memory: TestMemory, cr3: Option<u64>) -> Result<LocatedVmcoreInfo, VmcoreInfoError> {
    searched(memory, cr3, SearchDepth::Bounded)
}

fn searched(
    memory: TestMemory,
    cr3: Option<u64>,
    depth: SearchDepth,
) -> Result<LocatedVmcoreInfo, VmcoreInfoError> {
    let cpu = |cr3| QemuCpu { control: [0, 0, 0, cr3, 0], ..QemuCpu::default() };
    let machine = Machine {
        memory: Arc::new(memory),
        endian: Endian::Little,
        cpus: cr3.map(cpu).into_iter().collect(),
    };
    let guest = Guest { machine, arch: arch::of_machine(EM_X86_64) };
    guest.search(depth)
}

fn memory() -> TestMemory {
    TestMemory::new(0..0x100_0000)
}

#[test]
fn the_text_is_found_at_the_start_of_a_page_and_behind_a_notes_header() {
    for page in [0x70_0000, 0x70_0018] {
        let found =
            judge_of(with_kernel(memory(), 0x40_0000, "6.8.0-41-generic", page), None).unwrap();
        assert_eq!(found.info.release(), Some("6.8.0-41-generic"));
        let source = Origin::Memory { at: PhysAddr(page), candidates: 1, in_use: None };
        assert_eq!(found.source, source);
    }
    // Anywhere else it is a copy.
    let elsewhere = with_kernel(memory(), 0x40_0000, "6.8.0", 0x70_0020);
    assert!(matches!(judge_of(elsewhere, None), Err(VmcoreInfoError::None { .. })));
}

#[test]
fn the_same_text_twice_is_one_candidate() {
    let copy = text(0x40_0000, "6.8.0");
    let memory =
        with_kernel(memory(), 0x40_0000, "6.8.0", 0x70_0000).bytes(0x71_0018, copy.as_bytes());
    let found = judge_of(memory, None).unwrap();
    assert!(matches!(found.source, Origin::Memory { candidates: 1, .. }));
}

#[test]
fn the_text_of_a_kernel_that_is_gone_is_not_taken() {
    // A kernel before the reboot left its text; its image is overwritten.
    let stale = text(0x80_0000, "5.4.0");
    let memory =
        with_kernel(memory(), 0x40_0000, "6.8.0", 0x70_0000).bytes(0x60_0000, stale.as_bytes());
    let found = judge_of(memory, None).unwrap();
    assert_eq!(found.info.release(), Some("6.8.0"));
    assert!(matches!(found.source, Origin::Memory { candidates: 2, .. }));
}

#[test]
fn of_two_kernels_the_one_that_a_processor_runs_is_taken() {
    let memory = with_kernel(memory(), 0x40_0000, "6.1.0-old", 0x70_0000);
    let memory = with_kernel(memory, 0xa0_0000, "6.1.0-new", 0xd0_0000);
    let found = judge_of(memory.clone(), Some(0xa0_1000)).unwrap();
    assert_eq!(found.info.release(), Some("6.1.0-new"));
    let source = Origin::Memory { at: PhysAddr(0xd0_0000), candidates: 2, in_use: Some(true) };
    assert_eq!(found.source, source);
    // A processor that runs neither decides nothing, and that is said.
    let found = judge_of(memory, Some(0x1000)).unwrap();
    assert!(matches!(found.source, Origin::Memory { in_use: Some(false), .. }));
}

#[test]
fn a_text_that_its_own_kernel_contradicts_is_reported_with_the_reason() {
    let memory = with_kernel(memory(), 0x40_0000, "6.8.0", 0x70_0000).bytes(0x40_5040, b"6.9.9");
    let error = judge_of(memory, None).unwrap_err();
    assert!(error.to_string().contains("init_uts_ns has another release"), "{error}");
    let unmapped = memory_with_text_alone();
    let error = judge_of(unmapped, None).unwrap_err();
    assert!(error.to_string().contains("page tables at"), "{error}");
}

fn memory_with_text_alone() -> TestMemory {
    memory().bytes(0x70_0000, text(0x40_0000, "6.8.0").as_bytes())
}

#[test]
fn a_text_is_read_across_pieces_and_no_further_than_memory() {
    // The last page of memory, filled to its end without a NUL.
    let page = 0x100_0000 - 0x1000;
    let mut text = text(0x40_0000, "6.8.0").into_bytes();
    text.resize(0x1000, b'\n');
    let memory = with_kernel(memory(), 0x40_0000, "6.8.0", 0x70_0018).bytes(page, &text);
    let found = read_text(&memory, PhysAddr(page)).unwrap();
    assert_eq!(found.release(), Some("6.8.0"));
    let found = judge_of(memory, None).unwrap();
    assert!(matches!(found.source, Origin::Memory { candidates: 2, .. }));
}

/// A guest without a kernel, or one that nothing leads to, was read to its end: 20 minutes a TiB.
#[test]
fn a_large_memory_is_not_searched_to_its_end_unless_asked_for() {
    let at = |page| with_kernel(memory(), 0x40_0000, "6.8.0", page).search_budget(0x20_0000);
    let error = judge_of(at(0x80_0000), None).unwrap_err().to_string();
    assert!(error.ends_with("2 MiB of 16 MiB were searched, --deep searches all"), "{error}");
    assert!(searched(at(0x80_0000), None, SearchDepth::All).is_ok());
    // Near an end.
    for page in [0x1_0000, 0xff_0000] {
        assert!(judge_of(at(page), None).is_ok(), "{page:#x}");
    }
}
