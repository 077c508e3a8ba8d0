//! Struct pages that are damaged, and a VMCOREINFO that lies: no page is left out that is kept
//! of the same core without the damage, but for single ones whose own struct page is wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::page_class::PageClass;
use vmcorectl::kernel::page_classes::{KeepAll, PagePlan, plan_of};
use vmcorectl::vmcore::{MemoryError, MemoryRange, PhysMemory, Vmcore};

use crate::CORE;
use crate::damage::Damage;
use crate::transcript::project;

const STRUCT_PAGE: u64 = 64;
/// The sample's pages.
const PAGES: u64 = 80 << 8;

/// Pages, by their numbers.
type Pages = BTreeSet<u64>;

/// The sample, and where its struct pages are.
fn sample() -> (Damage, VirtAddr) {
    let damage = Damage::new();
    let base = damage.pointer(damage.symbol("vmemmap_base"));
    (damage, base)
}

fn struct_page(base: VirtAddr, page: u64) -> VirtAddr {
    VirtAddr(base.0 + page * STRUCT_PAGE)
}

fn open() -> Vmcore {
    Vmcore::open(&project().join(CORE)).expect("the sample")
}

/// All pages that have a class.
fn dropped(plan: &PagePlan) -> Pages {
    plan.runs.iter().flat_map(|run| run.start.0 >> 12..run.end().0 >> 12).collect()
}

/// The pages that have a class, without damage.
fn dropped_in_fact() -> Pages {
    let plan = plan_of(&open()).expect("a plan");
    assert_eq!(plan.findings, [""; 0]);
    dropped(&plan)
}

/// What a plan drops that is kept without damage; nothing if it keeps all pages.
fn wrongly_dropped(plan: &Result<PagePlan, KeepAll>, in_fact: &Pages) -> Pages {
    plan.as_ref().map(|plan| &dropped(plan) - in_fact).unwrap_or_default()
}

/// Numbers that are the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 8) % end
    }
}

#[test]
fn struct_pages_of_noise_keep_all_pages() {
    let (mut damage, base) = sample();
    let noise = damage.noise((PAGES * STRUCT_PAGE) as usize);
    damage.write(base, &noise);
    let error = plan_of(&damage.overlaid()).unwrap_err();
    assert!(matches!(error, KeepAll::Damaged { .. }), "{error}");
}

#[test]
fn some_struct_pages_of_noise_cost_none_but_their_own_pages() {
    let in_fact = dropped_in_fact();
    let mut random = Noise(0x1234_5678_9abc_def1);
    let mut wrong = 0;
    for _ in 0..24 {
        let (mut damage, base) = sample();
        let (first, count) = (random.below(PAGES - 64), 1 + random.below(64));
        let noise: Vec<u8> = (0..count * 8).flat_map(|_| random.next().to_le_bytes()).collect();
        damage.write(struct_page(base, first), &noise);
        let plan = plan_of(&damage.overlaid());
        let wrongly = wrongly_dropped(&plan, &in_fact);
        assert!(wrongly.iter().all(|page| (first..first + count).contains(page)), "{wrongly:?}");
        wrong += wrongly.len();
    }
    assert!(wrong <= 1, "{wrong} pages are dropped by noise");
}

/// Values that a struct page may well have, in the wrong page or word.
#[test]
fn a_word_of_a_struct_page_that_is_wrong_costs_none_but_its_own_page() {
    let in_fact = dropped_in_fact();
    let mut random = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..160 {
        let (mut damage, base) = sample();
        let (page, word) = (random.below(PAGES), random.below(8));
        let other = struct_page(base, random.below(PAGES)).0 + word * 8;
        let value = match random.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => damage.pointer(VirtAddr(other)).0,
            3 => 1 << random.below(64),
            4 => random.below(12),
            _ => random.next(),
        };
        let at = VirtAddr(struct_page(base, page).0 + word * 8);
        damage.write(at, &value.to_le_bytes());
        let wrongly = wrongly_dropped(&plan_of(&damage.overlaid()), &in_fact);
        assert!(
            wrongly.iter().all(|wrong| *wrong == page),
            "{page} {word} {value:#x}: {wrongly:?}"
        );
    }
}

/// A core whose VMCOREINFO is another.
fn with_vmcoreinfo(change: impl Fn(&str) -> String) -> Vmcore {
    let mut core = open();
    let mut notes = Vec::new();
    for note in core.notes().map(Result::unwrap) {
        let mut descriptor = note.descriptor.to_vec();
        if note.name == b"VMCOREINFO" {
            descriptor = change(str::from_utf8(&descriptor).unwrap()).into_bytes();
        }
        let name = [note.name, b"\0"].concat();
        for number in [name.len() as u32, descriptor.len() as u32, note.kind] {
            notes.extend(number.to_le_bytes());
        }
        for part in [name, descriptor] {
            notes.extend(part);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
    }
    core.set_notes(notes);
    core
}

#[test]
fn a_vmcoreinfo_that_lies_about_pages_drops_nothing_that_is_needed() {
    const LIES: [&str; 14] = [
        "0",
        "1",
        "3",
        "5",
        "8",
        "16",
        "24",
        "40",
        "48",
        "56",
        "4096",
        "-1",
        "-129",
        "ffff888000000000",
    ];
    let in_fact = dropped_in_fact();
    let text = String::from_utf8(
        open()
            .notes()
            .map(Result::unwrap)
            .find(|note| note.name == b"VMCOREINFO")
            .unwrap()
            .descriptor
            .to_vec(),
    )
    .unwrap();
    let about_pages = |key: &str| {
        ["(page", "(PG_", "(PAGE_", "mem_section", "free_area", "_BITS)", "HUGETLB", "PAGESIZE"]
            .iter()
            .any(|part| key.contains(part))
    };
    let mut tried = 0;
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        for lie in LIES.into_iter().filter(|lie| about_pages(key) && *lie != value) {
            let core = with_vmcoreinfo(|text| text.replace(line, &format!("{key}={lie}")));
            let wrongly = wrongly_dropped(&plan_of(&core), &in_fact);
            assert!(wrongly.is_empty(), "{key}={lie}, not {value}: {} pages", wrongly.len());
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried} lies");
}

/// Memory without some of its pages.
#[derive(Debug)]
struct Holes {
    below: Arc<dyn PhysMemory>,
    pages: Pages,
}

impl PhysMemory for Holes {
    fn ranges(&self) -> &[MemoryRange] {
        self.below.ranges()
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let end = at.0 + buffer.len() as u64;
        match self.pages.range(at.0 >> 12..end.div_ceil(4096)).next() {
            Some(page) => Err(MemoryError::Excluded { at: PhysAddr((page << 12).max(at.0)) }),
            None => self.below.read(at, buffer),
        }
    }
}

#[test]
fn pages_are_kept_whose_struct_pages_are_in_a_hole() {
    let in_fact = dropped_in_fact();
    let (damage, base) = sample();
    // A page of struct pages in eight.
    let lost = |page: u64| page / 64 % 8 == 3;
    let holes = (0..PAGES).filter(|page| lost(*page)).map(|page| {
        damage.kernel.space.translate(struct_page(base, page)).expect("mapped").0 >> 12
    });
    let pages = holes.collect();
    let mut core = damage.overlaid();
    let below = core.shared_memory();
    core.set_memory(Arc::new(Holes { below, pages }));
    let plan = plan_of(&core).expect("a plan");
    assert!(plan.findings.iter().any(|finding| finding.contains("cannot be read")), "{plan:?}");
    let dropped = dropped(&plan);
    assert!(dropped.is_subset(&in_fact));
    assert!(dropped.len() > in_fact.len() / 2, "{} of {}", dropped.len(), in_fact.len());
}

#[test]
fn poisoned_pages_are_dropped_alone_and_too_many_keep_everything() {
    /// The flag of a compound page's head.
    const HEAD: u64 = 1 << 16;
    let (damage, base) = sample();
    let used = (0..PAGES).fold(0, |used, page| used | damage.pointer(struct_page(base, page)).0);
    let flag = (1..64).find(|bit| used >> bit & 1 == 0).expect("a flag that no page has");
    let in_fact = dropped_in_fact();
    for (every, count) in [(700, 20), (3, 4000)] {
        let (mut damage, base) = sample();
        // Not the heads of compound pages, whose mark is that of all their pages.
        let flags = |page| damage.pointer(struct_page(base, page)).0;
        let single = |page: &u64| flags(*page) & HEAD == 0;
        let poisoned: Pages = (300..).step_by(every).filter(single).take(count).collect();
        for page in &poisoned {
            let at = struct_page(base, *page);
            let flags = damage.pointer(at).0 | 1 << flag;
            damage.write(at, &flags.to_le_bytes());
        }
        let with_flag = with_vmcoreinfo(|text| format!("{text}NUMBER(PG_hwpoison)={flag}\n"));
        let mut core = damage.overlaid();
        core.set_notes(with_flag.note_bytes().to_vec());
        match plan_of(&core) {
            Ok(plan) => {
                assert_eq!(plan.tally.poisoned, count as u64);
                let wrongly = &dropped(&plan) - &in_fact;
                assert!(wrongly.is_subset(&poisoned), "{wrongly:?}");
                let is_poison = |page: &u64| {
                    plan.runs.iter().any(|run| {
                        run.class == PageClass::Poison
                            && (run.start.0 >> 12..run.end().0 >> 12).contains(page)
                    })
                };
                assert!(poisoned.iter().all(is_poison), "{:?}", plan.runs);
                assert_eq!(count, 20);
            }
            Err(error) => {
                assert!(matches!(error, KeepAll::Poisoned { .. }), "{error}");
                assert_eq!(count, 4000, "{error}");
            }
        }
    }
}
