use super::*;
use crate::kernel::test_kernel::TestMemory;
use vmcore_formats::paging::{Arm64, Granule, X86_64};

const AT: VirtAddr = VirtAddr(0xffff_ffff_8123_4567);
const X86: Paging = Paging::X86_64(X86_64 { five_levels: false, encryption_mask: 0 });

fn arm64(granule: Granule, va_bits: u32) -> Paging {
    Paging::Arm64(Arm64::kernel(granule, va_bits).unwrap())
}

fn space(memory: TestMemory, paging: Paging) -> AddressSpace {
    AddressSpace::new(Arc::new(memory), paging, PhysAddr(0x1000), Endian::Little)
}

/// PGD 511 at 0x1ff8, PUD 510 at 0x2ff0, PMD 9 at 0x3048, PTE 0x34 at 0x41a0.
fn four_levels() -> TestMemory {
    TestMemory::new(0..0x10_0000)
        .word(0x1ff8, 0x2067)
        .word(0x2ff0, 0x3067)
        .word(0x3048, 0x4067)
        .word(0x41a0, 0x8000_0000_0007_0163)
}

#[test]
fn a_walk_tells_each_entry_and_where_the_page_is() {
    let space = space(four_levels(), X86);
    let walk = space.walk(AT);
    let steps: Vec<_> =
        walk.steps.iter().map(|step| (step.level.name, step.index, step.entry.0)).collect();
    assert_eq!(
        steps,
        [("PGD", 511, 0x1ff8), ("PUD", 510, 0x2ff0), ("PMD", 9, 0x3048), ("PTE", 0x34, 0x41a0)]
    );
    let mapping = walk.outcome.unwrap();
    assert_eq!(mapping.start, VirtAddr(0xffff_ffff_8123_4000));
    assert_eq!(mapping.translate(AT), PhysAddr(0x7_0567));
    // Once by the tables, once from what is remembered.
    assert_eq!(space.translate(AT).unwrap(), PhysAddr(0x7_0567));
    assert_eq!(space.translate(AT).unwrap(), PhysAddr(0x7_0567));
}

#[test]
fn large_pages_end_the_walk_early() {
    let memory = four_levels().word(0x3048, 0x8000_0000_4020_11e3);
    assert_eq!(space(memory, X86).translate(AT).unwrap(), PhysAddr(0x4023_4567));
    let memory = four_levels().word(0x2ff0, 0x8000_0000_4000_11e3);
    assert_eq!(space(memory, X86).translate(AT).unwrap(), PhysAddr(0x4123_4567));
}

#[test]
fn the_failure_names_the_level_and_what_was_missing() {
    let said = |memory| space(memory, X86).translate(AT).unwrap_err().to_string();
    assert_eq!(
        said(four_levels().word(0x2ff0, 0x4002)),
        "0xffffffff81234567 is not mapped: its PUD entry at 0x2ff0 is 0x4002, not present"
    );
    assert_eq!(
        said(four_levels().word(0x3048, 0x7fff_f067)),
        "the PTE entry at 0x7ffff1a0, needed to translate 0xffffffff81234567, is missing: \
         no memory at 0x7ffff1a0 in the core"
    );
    let hole = space(four_levels(), X86).translate(VirtAddr(0x8000_0000_0000_0000));
    assert!(matches!(hole, Err(TranslateError::OutOfRange(_))));
    let error = said(four_levels().word(0x1ff8, 0x20e7));
    assert!(error.contains("PGD entry at 0x1ff8, 0x20e7, is no valid one"), "{error}");
}

#[test]
fn tables_that_name_themselves_end_like_any_others() {
    // Linux never does; an attacker may have.
    let mut memory = TestMemory::new(0..0x2000);
    for entry in 0..512 {
        memory = memory.word(0x1000 + entry * 8, 0x1067);
    }
    assert_eq!(space(memory, X86).translate(AT).unwrap(), PhysAddr(0x1567));
}

#[test]
fn a_read_crosses_pages_wherever_they_are() {
    let memory = four_levels().word(0x41a8, 0x9_0163).bytes(0x7_0ffe, b"ab").bytes(0x9_0000, b"cd");
    let space = space(memory, X86);
    let mut buffer = [0; 4];
    space.read(VirtAddr(0xffff_ffff_8123_4ffe), &mut buffer).unwrap();
    assert_eq!(&buffer, b"abcd");
    // The third page is not mapped.
    let error = space.read_vec(VirtAddr(0xffff_ffff_8123_5ffe), 3).unwrap_err();
    assert!(error.to_string().contains("PTE entry at 0x41b0"), "{error}");
}

#[test]
fn what_is_mapped_but_not_in_the_core_is_said_with_its_place() {
    let memory = four_levels().word(0x41a0, 0x20_0163);
    let error = space(memory, X86).read_u64(AT).unwrap_err();
    assert_eq!(
        error.to_string(),
        "0xffffffff81234567 is at 0x200567 in memory, which is missing: no memory at 0x200567 in the core"
    );
}

#[test]
fn the_end_of_the_address_space_is_the_end_of_a_read() {
    let memory = TestMemory::new(0..0x8000)
        .word(0x1ff8, 0x2067)
        .word(0x2ff8, 0x3067)
        .word(0x3ff8, 0x4067)
        .word(0x4ff8, 0x5163);
    let space = space(memory, X86);
    assert!(space.read_vec(VirtAddr(u64::MAX - 7), 8).is_ok());
    // What follows is address 0, which is not mapped.
    assert!(space.read_vec(VirtAddr(u64::MAX - 7), 9).is_err());
}

/// arm64 tables for one address, in each geometry; the page is where 52 bits are needed,
/// if the geometry has them.
#[test]
fn arm64_is_walked_in_each_granule_and_width() {
    let tables = [0x10_0000_u64, 0x11_0000, 0x12_0000, 0x13_0000, 0x14_0000];
    let cases = [
        (Granule::K4, 39, 12),
        (Granule::K4, 48, 12),
        (Granule::K4, 52, 12),
        (Granule::K16, 36, 14),
        (Granule::K16, 47, 14),
        (Granule::K16, 48, 14),
        (Granule::K16, 52, 14),
        (Granule::K64, 42, 16),
        (Granule::K64, 48, 16),
        (Granule::K64, 52, 16),
    ];
    for (granule, va_bits, page_shift) in cases {
        let at = u64::MAX << (va_bits - 1) | 0x0123_4567 & ((1 << (va_bits - 1)) - 1);
        let levels = (va_bits - page_shift + page_shift - 4) / (page_shift - 3);
        let wide = va_bits == 52;
        let page: u64 = if wide { 0x000d_0000_0003_0000 } else { 0x0003_0000 };
        let entry = match (granule, wide) {
            (Granule::K64, true) => 0x3_0000 | 0xd << 12 | 0x703,
            (_, true) => 0x0001_0000_0003_0000 | 3 << 8 | 0x403,
            _ => 0x3_0703,
        };
        let mut memory = TestMemory::new(0x10_0000..0x20_0000);
        for depth in 0..levels {
            let shift = page_shift + (levels - 1 - depth) * (page_shift - 3);
            let bits = (va_bits - shift).min(page_shift - 3);
            let index = at >> shift & ((1 << bits) - 1);
            let last = depth == levels - 1;
            let value = if last { entry } else { tables[depth as usize + 1] | 3 };
            memory = memory.word(tables[depth as usize] + index * 8, value);
        }
        let space = AddressSpace::new(
            Arc::new(memory),
            arm64(granule, va_bits),
            PhysAddr(tables[0]),
            Endian::Little,
        );
        let expected = page + (at & ((1 << page_shift) - 1));
        assert_eq!(
            space.translate(VirtAddr(at)).unwrap(),
            PhysAddr(expected),
            "{granule:?} {va_bits}"
        );
    }
}

#[test]
fn a_big_endian_kernel_has_big_endian_tables() {
    let mut memory = TestMemory::new(0..0x10_0000);
    for (at, value) in
        [(0x1ff8, 0x2003_u64), (0x2ff0, 0x3003), (0x3048, 0x4003), (0x41a0, 0x7_0703)]
    {
        memory = memory.word(at, value.swap_bytes());
    }
    let paging = arm64(Granule::K4, 48);
    let space = AddressSpace::new(Arc::new(memory), paging, PhysAddr(0x1000), Endian::Big);
    assert_eq!(space.translate(AT).unwrap(), PhysAddr(0x7_0567));
}
