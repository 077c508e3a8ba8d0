use std::sync::Arc;

use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::CR4_LA57;

use super::*;
use crate::kernel::arch::{arm64, x86_64};
use crate::kernel::test_kernel::TestMemory;
use crate::vmcore::PhysMemory;

/// The kernel's image is at 16 MiB in memory, its root 64 KiB behind.
const ROOT: u64 = 0x101_0000;
const SYMBOL: u64 = 0xffff_ffff_8281_0000;

/// Four-level tables that map the symbol's 2 MiB.
fn memory() -> TestMemory {
    TestMemory::new(0..0x200_0000)
        .word(ROOT + 511 * 8, 0x101_1067)
        .word(0x101_1000 + 510 * 8, 0x101_2067)
        .word(0x101_2000 + 20 * 8, 0x0e3 | 0x100_0000)
}

fn info(text: &str) -> VmcoreInfo {
    VmcoreInfo::parse(format!("OSRELEASE=6.1\nPAGESIZE=4096\n{text}").as_bytes())
}

fn find(memory: TestMemory, text: &str, cpus: &[QemuCpu]) -> Result<AddressSpace, PageTablesError> {
    let memory: Arc<dyn PhysMemory> = Arc::new(memory);
    x86_64::paging::find(&memory, &info(text), cpus)
}

fn cpu(cr3: u64, cr4: u64) -> QemuCpu {
    QemuCpu { control: [0x8005_0033, 0, 0, cr3, cr4], ..QemuCpu::default() }
}

#[test]
fn the_root_of_x86_is_where_phys_base_says() {
    // phys_base is often negative.
    let text = format!("SYMBOL(swapper_pg_dir)={SYMBOL:x}\nNUMBER(phys_base)=-25165824\n");
    let space = find(memory(), &text, &[]).unwrap();
    assert_eq!(space.root(), PhysAddr(ROOT));
    assert_eq!(space.translate(VirtAddr(SYMBOL + 5)).unwrap(), PhysAddr(ROOT + 5));
}

#[test]
fn without_phys_base_a_processor_tells_the_root() {
    let text = format!("SYMBOL(swapper_pg_dir)={SYMBOL:x}\n");
    let error = find(memory(), &text, &[]).unwrap_err();
    assert!(error.to_string().contains("NUMBER(phys_base)"), "{error}");
    // One processor runs user code on the isolated table, one page behind the kernel's.
    let cpus = [cpu(0, 0), cpu(ROOT | 0x1000, 0)];
    assert_eq!(find(memory(), &text, &cpus).unwrap().root(), PhysAddr(ROOT));
}

#[test]
fn a_phys_base_that_is_wrong_is_found_out() {
    let text = format!("SYMBOL(swapper_pg_dir)={SYMBOL:x}\nNUMBER(phys_base)=4096\n");
    assert!(matches!(find(memory(), &text, &[]), Err(PageTablesError::NotTheKernels { .. })));
    assert_eq!(find(memory(), &text, &[cpu(ROOT, 0)]).unwrap().root(), PhysAddr(ROOT));
}

#[test]
fn five_levels_are_what_the_kernel_says_else_what_cr4_says() {
    let base = format!("SYMBOL(swapper_pg_dir)={SYMBOL:x}\nNUMBER(phys_base)=-25165824\n");
    // A table more between the root and what is below it.
    let five = || memory().word(ROOT + 511 * 8, 0x101_3067).word(0x101_3000 + 511 * 8, 0x101_1067);
    let said = |enabled| format!("{base}NUMBER(pgtable_l5_enabled)={enabled}\n");
    assert!(find(five(), &said(1), &[]).is_ok() && find(five(), &said(0), &[]).is_err());
    assert!(find(memory(), &said(0), &[cpu(0, CR4_LA57)]).is_ok());
    assert!(find(five(), &base, &[cpu(0, CR4_LA57)]).is_ok());
    assert!(find(five(), &base, &[cpu(0, 0)]).is_err());
}

/// Tables of an arm64 kernel: the geometry decides where the walk looks.
fn arm64_tables(indices: &[(u64, u64)]) -> Arc<dyn PhysMemory> {
    let mut memory = TestMemory::new(0x4000_0000..0x4100_0000);
    for (at, value) in indices {
        memory = memory.word(*at, *value);
    }
    Arc::new(memory)
}

#[test]
fn the_root_of_arm64_is_where_kimage_voffset_says() {
    // 0xffff_8000_0801_0000, 48 bits: indices 256, 0, 64, 16.
    let memory = arm64_tables(&[
        (0x4001_0000 + 256 * 8, 0x4002_0003),
        (0x4002_0000, 0x4003_0003),
        (0x4003_0000 + 64 * 8, 0x4000_0701),
    ]);
    let text = "SYMBOL(swapper_pg_dir)=ffff800008010000\nNUMBER(kimage_voffset)=0xffff7fffc8000000\n\
                NUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0x10\n";
    let space = arm64::paging::find(&memory, &info(text), Endian::Little).unwrap();
    assert_eq!(space.root(), PhysAddr(0x4001_0000));
    assert_eq!(space.paging().levels().len(), 4);
}

#[test]
fn wide_64k_tables_keep_their_geometry() {
    // The processor has 48 bits, the tables 52: the root's index is 992, not 32.
    let memory = arm64_tables(&[(0x4001_0000 + 992 * 8, 0x4002_0003), (0x4002_0000, 0x4000_0701)]);
    let text = "PAGESIZE=65536\nSYMBOL(swapper_pg_dir)=ffff800000010000\n\
                NUMBER(kimage_voffset)=0xffff7fffc0000000\nNUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0x10\n";
    let info = VmcoreInfo::parse(text.as_bytes());
    let space = arm64::paging::find(&memory, &info, Endian::Little).unwrap();
    assert_eq!(space.paging().levels().first().unwrap().bits, 10);
}

#[test]
fn what_is_not_said_or_cannot_be_is_named() {
    let memory = arm64_tables(&[]);
    let error = |text: &str| {
        arm64::paging::find(&memory, &info(text), Endian::Little).unwrap_err().to_string()
    };
    assert!(error("").contains("SYMBOL(swapper_pg_dir)"));
    assert!(error("SYMBOL(swapper_pg_dir)=ffff800008010000\n").contains("NUMBER(kimage_voffset)"));
    let text =
        "SYMBOL(swapper_pg_dir)=ffff800008010000\nNUMBER(kimage_voffset)=0xffff7fffc8000000\n";
    assert!(error(text).contains("NUMBER(VA_BITS)"));
    assert!(error(&format!("{text}NUMBER(VA_BITS)=40\n")).contains("40 address bits"));
    assert!(error(&format!("{text}NUMBER(VA_BITS)=-1\n")).contains("address bits"));
}
