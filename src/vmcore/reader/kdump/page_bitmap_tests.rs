use super::*;

fn bitmap(bytes: &[u8], pages: u64) -> PageBitmap {
    let mut bitmap = PageBitmap::of_pages(pages);
    for (index, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        bitmap.push(&words(block, index as u64 * BLOCK, pages));
    }
    bitmap
}

/// A bitmap with some order in it, and what each bit should be.
fn sample(pages: u64) -> (PageBitmap, Vec<bool>) {
    let bytes: Vec<u8> = (0..4000_u32)
        .map(|index| match index / 1100 % 3 {
            0 => 0xff,
            1 => 0,
            _ => (index.wrapping_mul(2_654_435_761) >> 24) as u8,
        })
        .collect();
    let bits = (0..pages as usize).map(|page| bytes[page / 8] >> (page % 8) & 1 == 1).collect();
    (bitmap(&bytes, pages), bits)
}

#[test]
fn counting_is_what_counting_one_by_one_gives() {
    for pages in [0, 1, 63, 64, 65, 4096, 4097, 15_999, 16_000, 32_000] {
        let (bitmap, bits) = sample(pages);
        let mut count = 0;
        for (page, bit) in bits.iter().enumerate() {
            assert_eq!(bitmap.before(page as u64), count, "{page} of {pages}");
            assert_eq!(bitmap.has(page as u64), *bit);
            count += u64::from(*bit);
        }
        assert_eq!(
            (bitmap.set(), bitmap.before(pages), bitmap.before(u64::MAX)),
            (count, count, count)
        );
        assert!(!bitmap.has(pages), "bits behind the last page do not count");
    }
}

#[test]
fn runs_are_all_that_is_set() {
    for pages in [15_999, 32_000] {
        let (bitmap, bits) = sample(pages);
        let mut found = vec![false; bits.len()];
        let mut page = 0;
        while let Some((start, end)) = bitmap.next_run(page) {
            assert!(start >= page && end > start);
            found[start as usize..end as usize].fill(true);
            page = end;
        }
        assert_eq!(found, bits);
        assert_eq!(bitmap.next_run(u64::MAX), None);
    }
}

#[test]
fn a_part_has_its_pages_alone() {
    let (bitmap, bits) = sample(30_000);
    for (start, end) in [(0, 30_000), (100, 9000), (4096, 8192), (9000, 9000), (20_000, u64::MAX)] {
        let part = bitmap.within(start, end);
        for (page, bit) in (0..).zip(&bits) {
            assert_eq!(part.has(page), *bit && page >= start && page < end, "{page}");
        }
    }
}

#[test]
fn the_first_pages_are_those_with_the_lowest_numbers() {
    let (bitmap, bits) = sample(30_000);
    let odd = bitmap.first(9000, |index| index % 2 == 1);
    let mut index = 0;
    for (page, bit) in (0..).zip(&bits) {
        assert_eq!(odd.has(page), *bit && index < 9000 && index % 2 == 1, "{page}");
        index += u64::from(*bit);
    }
    assert_eq!(odd.set(), 4500);
}

#[test]
fn long_runs_have_no_bits() {
    let bitmap = bitmap(&[0xff; 64 << 10], 512 << 10);
    assert!(bitmap.blocks.iter().all(|block| *block == Block::All));
    assert_eq!(bitmap.next_run(7), Some((7, 512 << 10)));
    assert_eq!(bitmap.before(100_000), 100_000);
}
