use proptest::prelude::*;

use super::synthetic::{BASE, GENERATIONS, Generation, POINTER, Pages, SIZE};
use super::*;
use crate::addr::Pfn;
use crate::endian::Endian;
use crate::page_class::PageClass;
use crate::vmcoreinfo::VmcoreInfo;

/// The class of each page.
fn classes(pages: &Pages) -> (Vec<Option<PageClass>>, Tally) {
    let mut classifier = Classifier::new(&pages.layout, Endian::Little, BASE);
    let mut found = vec![None; pages.bytes.len() / SIZE];
    // In two parts: what goes on is the classifier's to remember.
    let half = pages.bytes.len() / SIZE / 2;
    let (low, high) = pages.bytes.split_at(half * SIZE);
    for (first, bytes) in [(0, low), (half, high)] {
        classifier.classify(Pfn(first as u64), bytes, |pfn, class| {
            found[pfn.0 as usize] = Some(class);
        });
    }
    (found, classifier.tally())
}

/// The classes of these pages, none of which fails a check.
fn sound(pages: &Pages) -> Vec<Option<PageClass>> {
    let (found, tally) = classes(pages);
    assert_eq!(tally.failed, 0, "{:?}", pages.generation);
    found
}

fn noise(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn each_class_is_found_in_each_generation() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 64);
        pages.free(8, 3);
        pages.user(16);
        pages.cache(17);
        pages.cache(18);
        pages.flag(18, pages.layout.pg_private);
        pages.offline(19);
        pages.hugetlb(32, 4);
        let found = sound(&pages);
        let all = |range: std::ops::Range<usize>, class| {
            assert!(
                found[range.clone()].iter().all(|found| *found == class),
                "{generation:?} {range:?}"
            );
        };
        all(0..8, None);
        all(8..16, Some(PageClass::Free));
        let single =
            [PageClass::User, PageClass::Cache, PageClass::CachePrivate, PageClass::Offline];
        assert_eq!(found[16..20], single.map(Some), "{generation:?}");
        all(20..32, None);
        all(32..48, Some(PageClass::Hugetlb));
        all(48..64, None);
    }
}

#[test]
fn a_compound_page_has_the_class_of_its_head() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 64);
        pages.user(16);
        pages.compound(16, 4);
        pages.cache(32);
        pages.compound(32, 2);
        // The kernel's own.
        pages.compound(40, 3);
        let found = sound(&pages);
        assert_eq!(found[16..32], [Some(PageClass::User); 16], "{generation:?}");
        assert_eq!(found[32..36], [Some(PageClass::Cache); 4]);
        assert_eq!(found[36..], [None; 28]);
    }
}

/// Private memory of hugetlbfs is anonymous, KSM's has both low bits.
#[test]
fn anonymous_comes_before_hugetlb_and_ksm_is_anonymous() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 32);
        pages.hugetlb(16, 3);
        pages.word(16, 24, POINTER | 1);
        pages.half(16, 52, 1);
        pages.user(2);
        pages.word(2, 24, POINTER | 3);
        let found = sound(&pages);
        assert_eq!(found[16..24], [Some(PageClass::User); 8]);
        assert_eq!(found[2], Some(PageClass::User));
    }
}

#[test]
fn slabs_have_no_class_whatever_their_words_are() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 8);
        pages.user(1);
        pages.flag(1, pages.layout.pg_slab);
        if let Some(slab) = pages.layout.slab {
            pages.half(1, 48, slab.value());
        }
        assert_eq!(sound(&pages), [None; 8], "{generation:?}");
    }
}

/// mlocked pages of the cache are in no list; shared memory in the swap cache has no owner.
#[test]
fn cache_without_a_list_or_an_owner_is_cache() {
    let mut pages = Pages::new(Generation::Type, 8);
    pages.cache(1);
    pages.flag(1, pages.layout.pg_unevictable);
    pages.word(1, 8, 0xdead_0000_0000_0100);
    pages.word(1, 16, 0xdead_0000_0000_0001);
    pages.cache(2);
    pages.word(2, 24, 0);
    pages.flag(2, pages.layout.pg_swapcache | pages.layout.pg_swapbacked);
    let found = sound(&pages);
    assert_eq!(found[1..3], [Some(PageClass::Cache); 2]);
}

#[test]
fn unaccepted_memory_is_free_in_blocks_of_the_highest_order() {
    let mut pages = Pages::new(Generation::Type, 2048);
    for pfn in 1024..2048 {
        pages.half(pfn, 52, 0);
    }
    pages.listed(1024);
    pages.half(1024, 48, 0xf700_0000);
    let found = sound(&pages);
    assert!(found[1024..].iter().all(|class| *class == Some(PageClass::Free)));
    assert!(found[..1024].iter().all(Option::is_none));
}

#[test]
fn struct_pages_that_are_shared_are_tails() {
    // 512 pages have 8 pages of struct pages. All but the first map to the first one's memory.
    for generation in [Generation::Flag, Generation::Type] {
        let mut pages = Pages::new(generation, 1536);
        pages.hugetlb(512, 9);
        let first = pages.bytes[512 * SIZE..576 * SIZE].to_vec();
        for page in 1..8 {
            pages.put(512 + page * 64, 0, &first);
        }
        let found = sound(&pages);
        assert!(found[512..1024].iter().all(|class| *class == Some(PageClass::Hugetlb)));
        assert!(found[..512].iter().chain(&found[1024..]).all(Option::is_none));
    }
    // Or to one page of tails that has a mask.
    let mut pages = Pages::new(Generation::Mask, 1024);
    pages.hugetlb(512, 9);
    let tails = pages.bytes[514 * SIZE..515 * SIZE].repeat(64);
    for page in 1..8 {
        pages.put(512 + page * 64, 0, &tails);
    }
    assert!(sound(&pages)[512..].iter().all(|class| *class == Some(PageClass::Hugetlb)));
}

/// arm64 has the new name and pointers in it.
#[test]
fn a_link_of_the_new_name_may_be_a_pointer() {
    let mut pages = Pages::new(Generation::Mask, 32);
    pages.user(16);
    pages.compound(16, 3);
    for tail in 17..24 {
        pages.word(tail, 8, BASE.0 + 16 * SIZE as u64 + 1);
    }
    assert_eq!(sound(&pages)[16..24], [Some(PageClass::User); 8]);
}

#[test]
fn a_tail_that_names_another_head_has_no_class() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 32);
        pages.user(16);
        pages.compound(16, 3);
        pages.word(19, 8, BASE.0 + 8 * SIZE as u64 + 1);
        pages.word(20, 8, 0);
        let found = sound(&pages);
        assert_eq!((found[18], found[19], found[20]), (Some(PageClass::User), None, None));
    }
}

#[test]
fn poison_comes_before_every_class_and_spreads_from_a_head() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 64);
        let poison = pages.layout.pg_hwpoison;
        pages.user(1);
        pages.flag(1, poison);
        pages.free(8, 3);
        pages.flag(10, poison);
        pages.user(16);
        pages.compound(16, 3);
        pages.flag(16, poison);
        // The kernel's own compound pages.
        pages.compound(32, 2);
        pages.flag(32, poison);
        pages.compound(40, 2);
        let (found, tally) = classes(&pages);
        let poisoned = Some(PageClass::Poison);
        assert_eq!(found[1], poisoned);
        assert_eq!(
            found[8..12],
            [Some(PageClass::Free), Some(PageClass::Free), poisoned, Some(PageClass::Free)]
        );
        assert_eq!(found[16..24], [poisoned; 8]);
        assert_eq!(found[32..36], [poisoned; 4]);
        assert_eq!(found[40..44], [None; 4]);
        assert_eq!((tally.poisoned, tally.failed), (14, 0));
    }
}

mod where_makedumpfile_is_wrong {
    use super::*;

    /// makedumpfile takes bit 7 for `PG_slab` where VMCOREINFO has no `PG_slab`: since v6.10 it is
    /// `PG_waiters`, and it drops the page as cache.
    #[test]
    fn an_anonymous_page_with_waiters_is_a_user_page() {
        let mut pages = Pages::new(Generation::Type, 8);
        pages.user(1);
        pages.flag(1, 1 << 7);
        assert_eq!(sound(&pages)[1], Some(PageClass::User));
    }

    /// makedumpfile keeps it, and reads it.
    #[test]
    fn a_poisoned_tail_of_a_kept_page_is_poison() {
        let mut pages = Pages::new(Generation::Type, 32);
        pages.compound(16, 2);
        pages.flag(18, pages.layout.pg_hwpoison);
        let found = sound(&pages);
        assert_eq!(found[16..20], [None, None, Some(PageClass::Poison), None]);
    }

    /// makedumpfile compares all bits of the type, and keeps the block.
    #[test]
    fn a_free_block_whose_type_has_low_bits_is_free() {
        let mut pages = Pages::new(Generation::Type, 32);
        pages.free(16, 4);
        pages.half(16, 48, 0xf000_1234);
        assert_eq!(sound(&pages)[16..], [Some(PageClass::Free); 16]);
        // Types before v6.12 are whole values.
        let mut pages = Pages::new(Generation::Flag, 32);
        pages.free(16, 4);
        pages.half(16, 48, 0xffff_1f7f);
        assert_eq!(sound(&pages), [None; 32]);
    }

    /// makedumpfile drops it as cache.
    #[test]
    fn a_reserved_page_with_a_stray_lru_flag_is_kept() {
        let mut pages = Pages::new(Generation::Type, 8);
        pages.flag(1, pages.layout.pg_lru | pages.layout.pg_reserved);
        let (found, tally) = classes(&pages);
        assert_eq!((found[1], tally.failed), (None, 1));
    }

    /// makedumpfile counts it as a user page at level 8, and drops it as poison at the others.
    #[test]
    fn a_poisoned_anonymous_page_is_poison() {
        let mut pages = Pages::new(Generation::Type, 8);
        pages.user(1);
        pages.flag(1, pages.layout.pg_hwpoison);
        assert_eq!(sound(&pages)[1], Some(PageClass::Poison));
    }
}

#[test]
fn what_fails_its_checks_has_no_class_and_is_counted() {
    type Damage = fn(&mut Pages);
    let cases: [(&str, Damage); 11] = [
        ("free and referenced", |pages| pages.half(8, 52, 1)),
        ("free and in no list", |pages| pages.word(8, 16, 0xdead_0000_0000_0122)),
        ("free with a large order", |pages| pages.word(8, 40, 11)),
        ("free with an order that its number has not", |pages| pages.word(8, 40, 4)),
        ("user without references", |pages| pages.half(16, 52, 0)),
        ("user with a bad owner", |pages| pages.word(16, 24, POINTER | 5)),
        ("cache with a bad owner", |pages| pages.word(17, 24, 0x7fff_1234_5678)),
        ("cache in no list", |pages| pages.word(17, 16, 0)),
        ("offline and much in use", |pages| {
            pages.offline(18);
            pages.half(18, 52, 0x1234);
        }),
        ("hugetlb without an order", |pages| {
            pages.flag(18, pages.layout.pg_head);
            pages.half(18, 48, 0xf400_0000);
        }),
        ("hugetlb in no list", |pages| {
            pages.hugetlb(24, 3);
            pages.word(24, 16, 0xdead_0000_0000_0122);
        }),
    ];
    for (name, damage) in cases {
        let mut pages = Pages::new(Generation::Type, 32);
        pages.free(8, 3);
        pages.user(16);
        pages.cache(17);
        let before = sound(&pages);
        damage(&mut pages);
        let (found, tally) = classes(&pages);
        assert_eq!(tally.failed, 1, "{name}");
        for (pfn, (found, before)) in found.iter().zip(before).enumerate() {
            assert!(found.is_none() || *found == before, "{name}: page {pfn} is {found:?}");
        }
        let changed = found.iter().flatten().count();
        assert!(changed <= 10, "{name}: {changed} pages have a class");
    }
}

#[test]
fn a_page_in_use_within_a_free_block_is_kept() {
    let mut pages = Pages::new(Generation::Type, 32);
    pages.free(16, 4);
    pages.half(20, 52, 1);
    let (found, tally) = classes(&pages);
    assert_eq!(
        (found[19], found[20], found[21]),
        (Some(PageClass::Free), None, Some(PageClass::Free))
    );
    assert_eq!(tally.failed, 1);
}

/// A damaged order reaches past its block. What follows may be the kernel's without being counted as
/// in use: tails of a compound page, and slabs since v6.15.
#[test]
fn a_free_block_that_seems_larger_than_it_is_takes_none_of_the_kernels_pages() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 64);
        pages.free(16, 2);
        pages.compound(20, 2);
        pages.half(24, 52, 0);
        pages.half(24, 48, pages.layout.slab.map_or(0xf123_4567, layout::PageType::value));
        pages.half(25, 52, 0);
        pages.word(16, 40, 4);
        let (found, tally) = classes(&pages);
        assert_eq!(found[16..20], [Some(PageClass::Free); 4], "{generation:?}");
        assert_eq!(found[20..25], [None; 5], "{generation:?}");
        assert!(tally.failed >= 5, "{tally:?}");
    }
}

/// Random struct pages: hardly any passes the checks, but the failures show.
#[test]
fn of_random_struct_pages_hardly_any_has_a_class() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 200_000);
        let mut state = 0x1234_5678_9abc_def1;
        for word in pages.bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&noise(&mut state).to_le_bytes());
        }
        let (found, tally) = classes(&pages);
        let count = |wanted: fn(&PageClass) -> bool| {
            found.iter().flatten().filter(|class| wanted(class)).count()
        };
        let classified = count(|class| *class != PageClass::Poison);
        assert!(classified < 60, "{generation:?}: {classified} have a class");
        assert!(tally.failed > 20_000, "{generation:?}: {tally:?}");
        assert_eq!(tally.poisoned as usize, count(|class| *class == PageClass::Poison));
    }
}

/// Struct pages that were never written, and those with the kernel's pattern for that.
#[test]
fn struct_pages_that_were_never_written_have_no_class() {
    for generation in GENERATIONS {
        let mut pages = Pages::new(generation, 16);
        pages.bytes.fill(0);
        assert_eq!(sound(&pages), [None; 16]);
        pages.bytes.fill(0xff);
        let found = sound(&pages);
        assert!(found.iter().flatten().all(|class| *class == PageClass::Poison));
    }
}

/// Each value of VMCOREINFO, replaced by others: refused, or read without harm.
#[test]
fn a_vmcoreinfo_that_lies_is_refused_or_does_no_harm() {
    const LIES: [&str; 14] = [
        "0",
        "1",
        "2",
        "7",
        "8",
        "31",
        "63",
        "64",
        "4096",
        "65536",
        "-1",
        "-129",
        "9223372036854775807",
        "18446744073709551615",
    ];
    for generation in GENERATIONS {
        let text = generation.vmcoreinfo();
        let mut pages = Pages::new(generation, 256);
        pages.free(64, 5);
        pages.cache(1);
        pages.user(128);
        pages.compound(128, 6);
        for (number, line) in text.lines().enumerate() {
            let key = line.split_once('=').unwrap().0;
            for lie in LIES {
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                lines[number] = format!("{key}={lie}");
                let info = VmcoreInfo::parse(lines.join("\n").as_bytes());
                let tables = SectionTable::candidates(&info).unwrap_or_default();
                for table in tables {
                    assert!(table.count() <= 1 << 41 && table.row_bytes() <= 64 << 10);
                    assert!(table.word_in_row(table.count()) < 64 << 10);
                }
                if let Ok(layout) = PageLayout::of(&info) {
                    pages.layout = layout;
                    let mut classifier = Classifier::new(&pages.layout, Endian::Little, BASE);
                    classifier.classify(Pfn(0), &pages.bytes, |_, _| ());
                }
            }
        }
    }
}

/// Slabs would seem to be cache: the flags tell them apart.
#[test]
fn fields_that_overlap_are_refused() {
    let text = Generation::Type.vmcoreinfo();
    for (from, to) in [
        ("page.flags)=0", "page.flags)=8"),
        ("page.flags)=0", "page.flags)=56"),
        ("page.mapping)=24", "page.mapping)=16"),
        ("page.private)=40", "page.private)=24"),
        ("page._refcount)=52", "page._refcount)=48"),
        ("page._mapcount)=48", "page._mapcount)=44"),
    ] {
        assert!(text.contains(from), "{from}");
        let info = VmcoreInfo::parse(text.replace(from, to).as_bytes());
        let error = PageLayout::of(&info).unwrap_err();
        assert!(matches!(error, LayoutError::Impossible { .. }), "{to}: {error}");
    }
}

#[test]
fn a_key_that_is_missing_is_named() {
    let text = Generation::Type.vmcoreinfo();
    for key in ["NUMBER(PG_lru)", "OFFSET(page._refcount)", "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)"] {
        let without: Vec<_> = text.lines().filter(|line| !line.starts_with(key)).collect();
        let info = VmcoreInfo::parse(without.join("\n").as_bytes());
        let error = PageLayout::of(&info).unwrap_err();
        assert_eq!(error, LayoutError::NotSaid { key: key.to_owned() });
    }
}

#[test]
fn sections_are_extreme_or_flat_by_their_number() {
    let table = |length: u64, more: &str| {
        let text = Generation::Type.vmcoreinfo();
        let text =
            text.replace("LENGTH(mem_section)=2048", &format!("LENGTH(mem_section)={length}"));
        SectionTable::candidates(&VmcoreInfo::parse(text.replace(more, "NONE=").as_bytes()))
    };
    // 2^(46 - 27) sections, 256 in a root.
    let extreme = table(2048, "\0").unwrap()[0];
    assert_eq!((extreme.count(), extreme.row()), (1 << 19, 256));
    assert_eq!(extreme.row_of(257), Err(extreme.at().wrapping_add(8)));
    assert_eq!(extreme.word_in_row(257), 16);
    let flat = table(1 << 19, "\0").unwrap()[0];
    assert_eq!(flat.row_of(257), Ok(flat.at().wrapping_add(4096)));
    assert!(table(2047, "\0").is_err());
    // Before v5.13 and v5.9, the sizes are not said.
    let unknown = table(2048, "NUMBER(SECTION_SIZE_BITS)=").unwrap();
    assert_eq!(unknown.iter().map(SectionTable::section_bytes).next(), Some(128 << 20));
    let none = table(2048, "NUMBER(MAX_PHYSMEM_BITS)=").unwrap();
    assert_eq!(none[0].count(), 1 << 19);
}

proptest! {
    #[test]
    fn any_bytes_are_classified(
        bytes in prop::collection::vec(any::<u8>(), 0..4096),
        first in any::<u64>(),
        generation in 0_usize..5,
    ) {
        let layout = GENERATIONS[generation].layout();
        let mut classifier = Classifier::new(&layout, Endian::Little, BASE);
        classifier.classify(Pfn(first), &bytes, |_, _| ());
        prop_assert_eq!(classifier.tally().pages, (bytes.len() / SIZE) as u64);
    }
}
