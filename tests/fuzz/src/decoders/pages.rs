//! Struct pages, by what VMCOREINFO has of them.

use vmcore_formats::addr::{Pfn, VirtAddr};
use vmcore_formats::struct_page::{Classifier, PageLayout, SectionTable};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::endian;
use crate::input::Input;
use crate::limits::{SMALL, within};

/// What a kernel of Linux 6.12 has in VMCOREINFO of its pages.
const INFO: &[u8] = include_bytes!("pages.vmcoreinfo");
const BASE: VirtAddr = VirtAddr(0xffff_ea00_0000_0000);

/// A selector, lines of VMCOREINFO that come before a kernel's, the number of the first page, and
/// struct pages.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let mut input = Input::new(input);
        let endian = endian(input.u8());
        let info = VmcoreInfo::parse(&[input.part(), b"\n", INFO].concat());
        for table in SectionTable::candidates(&info).unwrap_or_default() {
            let section = table.count() / 2;
            let _ = (table.row_of(section), table.section_bytes());
            assert!(table.word_in_row(section) < 64 << 10, "the word of a section is in its row");
        }
        let Ok(layout) = PageLayout::of(&info) else { return };
        let first = Pfn(u64::from(input.u32()));
        let pages = input.rest();
        let mut classifier = Classifier::new(&layout, endian, BASE);
        let mut last = None;
        classifier.classify(first, pages, |pfn, _| {
            assert!(last < Some(pfn), "pages come in order");
            last = Some(pfn);
        });
        let count = (pages.len() / layout.struct_page_size().max(1)) as u64;
        assert_eq!(classifier.tally().pages, count);
    });
}
