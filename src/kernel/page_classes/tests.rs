use std::sync::Arc;

use vmcore_formats::addr::PhysAddr;
use vmcore_formats::endian::Endian;
use vmcore_formats::page_class::PageClass;
use vmcore_formats::paging::{Paging, X86_64};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::*;
use crate::kernel::find::in_memory::Origin;
use crate::kernel::test_kernel::{DIRECT, Noise, ROOT, TestMemory};
use crate::vmcore::{MemoryError, PhysMemory};

/// Where the struct pages are in memory, and where their one section is.
const STRUCT_PAGES: u64 = 0x10_0000;
const ROOTS: u64 = 0x8000;
const SECTIONS: u64 = 0x9000;
const PAGES: u64 = 512;
const POINTER: u64 = DIRECT + 0x5678;
const INFO: &str = "OSRELEASE=any\nPAGESIZE=4096\nSYMBOL(mem_section)=ffff888000008000\n\
    LENGTH(mem_section)=2048\nSIZE(mem_section)=16\nOFFSET(mem_section.section_mem_map)=0\n\
    NUMBER(SECTION_SIZE_BITS)=27\nNUMBER(MAX_PHYSMEM_BITS)=46\nSIZE(page)=64\n\
    OFFSET(page.flags)=0\nOFFSET(page.lru)=8\nOFFSET(page.mapping)=24\nOFFSET(page.private)=40\n\
    OFFSET(page._mapcount)=48\nOFFSET(page._refcount)=52\nOFFSET(page.compound_head)=8\n\
    LENGTH(zone.free_area)=11\nNUMBER(PG_lru)=5\nNUMBER(PG_private)=14\n\
    NUMBER(PG_swapcache)=10\nNUMBER(PG_swapbacked)=17\nNUMBER(PG_hwpoison)=20\n\
    NUMBER(PG_head_mask)=64\nNUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\n\
    NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-251658240\n\
    NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592\n";

fn struct_page(pfn: u64) -> u64 {
    STRUCT_PAGES + pfn * 64
}

/// 2 MiB of memory: free pages 256 to 383, a page of a program at 400, of the cache at 401; all
/// others are the kernel's.
fn memory() -> TestMemory {
    let mut memory = TestMemory::mapped(false)
        .word(ROOTS, DIRECT + SECTIONS)
        .word(SECTIONS, (DIRECT + STRUCT_PAGES) | 0xf);
    for pfn in 0..PAGES {
        let counts = if (256..384).contains(&pfn) { 0xffff_ffff } else { 0x1_ffff_ffff };
        memory = memory.word(struct_page(pfn) + 48, counts);
    }
    let listed = |memory: TestMemory, pfn, flags, mapping| {
        let at = struct_page(pfn);
        memory.word(at, flags).word(at + 8, POINTER).word(at + 16, POINTER).word(at + 24, mapping)
    };
    memory = listed(memory, 256, 0, 0).word(struct_page(256) + 40, 7);
    memory = memory.word(struct_page(256) + 48, 0xf000_0000);
    memory = listed(memory, 400, 1 << 5 | 1 << 17, POINTER | 1);
    listed(memory, 401, 1 << 5, POINTER)
}

fn plan_with(memory: impl PhysMemory + 'static, info: &str) -> Result<PagePlan, KeepAll> {
    let paging = Paging::X86_64(X86_64::default());
    let space = AddressSpace::new(Arc::new(memory), paging, ROOT, Endian::Little);
    plan(&Kernel::new(VmcoreInfo::parse(info.as_bytes()), Origin::Note, space))
}

fn run(page: u64, pages: u64, class: PageClass) -> ClassRun {
    ClassRun { start: PhysAddr(page << 12), length: pages << 12, class }
}

const FREE: PageClass = PageClass::Free;

/// Struct pages, sections and page tables are kept: here, some are in memory that seems free.
#[test]
fn pages_have_the_classes_that_their_struct_pages_have() {
    let plan = plan_with(memory(), INFO).unwrap();
    // 256 to 271 hold the struct pages, of a group of 1024 pages.
    let expected =
        [run(272, 112, FREE), run(400, 1, PageClass::User), run(401, 1, PageClass::Cache)];
    assert_eq!(plan.runs, expected);
    assert_eq!(plan.forced_bytes, 16 << 12);
    assert_eq!((plan.tally.pages, plan.tally.failed), (1024, 0));
    let kept: Vec<_> = plan.kept_always.iter().map(|range| (range.start.0, range.length)).collect();
    // Tables, the roots and the section, struct pages.
    assert_eq!(kept[..2], [(0x1000, 0x3000), (0x8000, 0x2000)]);
    assert!(plan.kept_always.iter().any(|range| range.contains(PhysAddr(STRUCT_PAGES))));
    assert_eq!(plan.bytes_by_class()[0], (FREE, 112 << 12));
}

#[test]
fn struct_pages_that_are_damaged_keep_everything() {
    let mut noise = Noise(0x1234_5678_9abc_def1);
    let mut all = memory();
    for word in 0..PAGES * 8 {
        all.write(STRUCT_PAGES + word * 8, &noise.next().to_le_bytes());
    }
    let error = plan_with(all, INFO).unwrap_err();
    assert!(matches!(error, KeepAll::Damaged { failed, .. } if failed > MAX_FAILED), "{error}");
    // Nothing but the mark of poison.
    let poisoned = (0..PAGES).fold(memory(), |memory, pfn| memory.word(struct_page(pfn), 1 << 20));
    let error = plan_with(poisoned, INFO).unwrap_err();
    assert!(matches!(error, KeepAll::Poisoned { poisoned: PAGES, .. }), "{error}");
}

/// One word of one struct page at a time: no page of the kernel's is dropped but the one that it
/// is of, and hardly ever that.
#[test]
fn one_damaged_word_costs_no_other_page() {
    let before = plan_with(memory(), INFO).unwrap();
    let had_class = |plan: &PagePlan, pfn: u64| {
        let at = PhysAddr(pfn << 12);
        plan.runs.iter().any(|run| at >= run.start && at < run.end())
    };
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut dropped = 0;
    for _ in 0..400 {
        let (pfn, word) = (noise.below(PAGES), noise.below(8));
        let value = match noise.below(4) {
            0 => 0,
            1 => POINTER,
            2 => 1 << noise.below(64),
            _ => noise.next(),
        };
        let plan = plan_with(memory().word(struct_page(pfn) + word * 8, value), INFO).unwrap();
        for other in 0..PAGES {
            let new = had_class(&plan, other) && !had_class(&before, other);
            assert!(!new || other == pfn, "{value:#x} in word {word} of {pfn} dropped {other}");
            dropped += u32::from(new);
        }
    }
    // By the mark of poison, above all.
    assert!(dropped < 20, "{dropped}");
}

#[test]
fn a_section_that_is_not_usable_or_elsewhere_is_kept() {
    let plan = |word: u64| plan_with(memory().word(SECTIONS, word), INFO);
    for word in [0, DIRECT + STRUCT_PAGES, (DIRECT + STRUCT_PAGES) | 3] {
        assert!(matches!(plan(word).unwrap_err(), KeepAll::Sections { .. }), "{word:#x}");
    }
    // Not mapped: there are no struct pages.
    let unmapped = plan(0xffff_ea00_0000_000f).unwrap();
    assert_eq!((unmapped.runs.len(), unmapped.tally.pages), (0, 0));
    assert!(unmapped.findings[0].contains("are not mapped"), "{:?}", unmapped.findings);
    let elsewhere = format!("{INFO}SYMBOL(vmemmap)=ffffea0000000000\n");
    let error = plan_with(memory(), &elsewhere).unwrap_err();
    assert!(error.to_string().contains("1 of 1 sections"), "{error}");
}

#[test]
fn the_address_of_the_pointer_to_the_roots_does_as_well() {
    let info = INFO.replace("ffff888000008000", "ffff88800000a000");
    let plan = plan_with(memory().word(0xa000, DIRECT + ROOTS), &info).unwrap();
    assert_eq!(plan.runs.len(), 3);
}

/// Memory with a page that cannot be read.
#[derive(Debug)]
struct Hole(TestMemory, u64);

impl PhysMemory for Hole {
    fn ranges(&self) -> &[MemoryRange] {
        self.0.ranges()
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let end = at.0 + buffer.len() as u64;
        if at.0 < self.1 + 4096 && end > self.1 {
            return Err(MemoryError::Excluded { at: PhysAddr(self.1) });
        }
        self.0.read(at, buffer)
    }
}

#[test]
fn pages_whose_struct_pages_are_missing_are_kept() {
    // Those of pages 320 to 383: the rest of the free block stays free.
    let plan = plan_with(Hole(memory(), struct_page(320)), INFO).unwrap();
    assert_eq!(plan.runs[..2], [run(261, 1, FREE), run(272, 48, FREE)]);
    assert!(plan.findings[0].starts_with("4096 bytes of struct pages cannot be read"));
    // Those with the beginning of the block.
    let plan = plan_with(Hole(memory(), struct_page(256)), INFO).unwrap();
    assert_eq!(plan.runs, [run(400, 1, PageClass::User), run(401, 1, PageClass::Cache)]);
}

#[test]
fn a_kernel_without_sections_keeps_everything() {
    let without = INFO.replace("LENGTH(mem_section)", "LENGTH(none)");
    let error = plan_with(memory(), &without).unwrap_err();
    assert!(error.to_string().contains("LENGTH(mem_section)"), "{error}");
}

/// Each number of VMCOREINFO replaced by others: refused, or nothing worse than a wrong plan.
#[test]
fn a_vmcoreinfo_that_lies_does_no_harm() {
    let lies = ["0", "1", "8", "24", "34", "63", "4096", "ffff888000000000", "-1", "-129"];
    for (number, line) in INFO.lines().enumerate() {
        let key = line.split_once('=').unwrap().0;
        for lie in lies {
            let mut lines: Vec<_> = INFO.lines().map(str::to_owned).collect();
            lines[number] = format!("{key}={lie}");
            if let Ok(plan) = plan_with(memory(), &lines.join("\n")) {
                let apart = |pair: &[ClassRun]| pair[0].end() <= pair[1].start;
                assert!(plan.runs.windows(2).all(apart), "{key}={lie}");
            }
        }
    }
}
