use proptest::prelude::*;

use super::*;
use crate::addr::VirtAddr;
use crate::kallsyms::synthetic::{Symbol, names, token_tables};

const BASE: u64 = 0xffff_ffff_8100_0000;

/// An image's read-only data: bytes that are no tables, the tables in some order, and more.
#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    fn align(&mut self, alignment: usize) -> usize {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self.bytes.len()
    }

    fn add(&mut self, alignment: usize, bytes: impl IntoIterator<Item = u8>) -> usize {
        let at = self.align(alignment);
        self.bytes.extend(bytes);
        at
    }
}

/// How a kernel lays its tables out.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// How long numbers and markers are.
    word: usize,
    alignment: usize,
    /// Addresses before the names.
    old_order: bool,
    /// Whether the sequences by name are between markers and tokens.
    sequences_between: bool,
    addresses: Stored,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stored {
    Absolute,
    Based,
    PlaceRelative,
}

/// What is expected to be found.
struct Expected {
    names: usize,
    token_table: usize,
    token_index: usize,
    candidate: Candidate,
}

fn symbols() -> Vec<String> {
    (0..5000).map(|index| format!("tsys_function_number_{index}_init")).collect()
}

fn image(layout: Layout) -> (Image, Expected) {
    let texts = symbols();
    let symbols: Vec<Symbol<'_>> =
        texts.iter().zip(0_u64..).map(|(text, index)| (BASE + index * 16, &**text)).collect();
    let (stream, markers) = names(&symbols);
    let (table, index) = token_tables();
    let mut image = Image { bytes: b"0\x001\x002\x003 of a font, and other text".to_vec() };
    image.add(1, (0..9000_u32).flat_map(|word| (word * 7).to_le_bytes()));
    let addresses = |image: &mut Image| {
        let at = image.align(layout.alignment);
        match layout.addresses {
            Stored::Absolute => {
                image.add(8, symbols.iter().flat_map(|(address, _)| address.to_le_bytes()));
                Candidate::Absolute { at }
            }
            Stored::Based => {
                let offset = |address: &u64| (address - BASE) as u32;
                image.add(4, symbols.iter().flat_map(|(at, _)| offset(at).to_le_bytes()));
                image.add(8, BASE.to_le_bytes());
                Candidate::Based { at, base: VirtAddr(BASE) }
            }
            Stored::PlaceRelative => {
                image.add(4, symbols.iter().flat_map(|(at, _)| (*at as u32).to_le_bytes()));
                Candidate::PlaceRelative { at }
            }
        }
    };
    let word = |value: u32| {
        (0..layout.word).map(move |byte| value.to_le_bytes().get(byte).copied().unwrap_or(0))
    };
    let before = layout.old_order.then(|| addresses(&mut image));
    image.add(layout.alignment, word(symbols.len() as u32));
    let names = image.add(layout.alignment, stream);
    image.add(layout.alignment, markers.into_iter().flat_map(word));
    if layout.sequences_between {
        image.add(
            layout.alignment,
            (0..5000_u32).rev().flat_map(|index| index.to_be_bytes().into_iter().skip(1)),
        );
    }
    let token_table = image.add(layout.alignment, table);
    let token_index = image.add(layout.alignment, index);
    let candidate = before.unwrap_or_else(|| addresses(&mut image));
    image.add(1, [0x55; 100]);
    (image, Expected { names, token_table, token_index, candidate })
}

const LAYOUTS: [Layout; 6] = [
    // 4.19
    Layout {
        word: 8,
        alignment: 8,
        old_order: true,
        sequences_between: false,
        addresses: Stored::Based,
    },
    Layout {
        word: 8,
        alignment: 8,
        old_order: true,
        sequences_between: false,
        addresses: Stored::Absolute,
    },
    // 5.4 to 6.1
    Layout {
        word: 4,
        alignment: 8,
        old_order: true,
        sequences_between: false,
        addresses: Stored::Based,
    },
    // 6.2, and 6.1 with its changes
    Layout {
        word: 4,
        alignment: 8,
        old_order: true,
        sequences_between: true,
        addresses: Stored::Based,
    },
    // 6.4 to 6.19
    Layout {
        word: 4,
        alignment: 8,
        old_order: false,
        sequences_between: false,
        addresses: Stored::Based,
    },
    // 7.0 and newer
    Layout {
        word: 4,
        alignment: 4,
        old_order: false,
        sequences_between: false,
        addresses: Stored::PlaceRelative,
    },
];

fn digits(bytes: &[u8]) -> usize {
    bytes.windows(DIGITS.len()).position(|window| window == DIGITS).unwrap()
}

#[test]
fn each_layout_is_found() {
    for layout in LAYOUTS {
        let (Image { bytes }, expected) = image(layout);
        let digits = digits(&bytes);
        assert!(are_tokens(&bytes, digits, Endian::Little));
        let found = locate(&bytes, digits, Endian::Little).unwrap_or_else(|| panic!("{layout:?}"));
        assert_eq!(found.symbol_count, 5000, "{layout:?}");
        assert_eq!(found.names, expected.names, "{layout:?}");
        assert_eq!(found.token_table, expected.token_table, "{layout:?}");
        assert_eq!(found.token_index, expected.token_index, "{layout:?}");
        assert!(found.addresses.contains(&expected.candidate), "{layout:?}: {found:?}");
    }
}

#[test]
fn digits_elsewhere_are_no_tokens() {
    let mut bytes = vec![0xaa; 4096];
    bytes[2000..2000 + DIGITS.len()].copy_from_slice(DIGITS);
    assert!(!are_tokens(&bytes, 2000, Endian::Little));
    assert_eq!(locate(&bytes, 2000, Endian::Little), None);
    assert_eq!(locate(&bytes, 5000, Endian::Little), None);
}

#[test]
fn every_truncation_gives_nothing_or_fewer_candidates_and_never_a_panic() {
    for layout in LAYOUTS {
        let (Image { bytes }, expected) = image(layout);
        let digits = digits(&bytes);
        for length in
            (0..bytes.len()).step_by(997).chain(expected.token_table..expected.token_table + 1200)
        {
            let cut = bytes.get(..length).unwrap_or(&bytes);
            let found = locate(cut, digits, Endian::Little);
            assert!(found.is_none_or(|found| found.names == expected.names));
        }
    }
}

#[test]
fn names_that_do_not_meet_their_markers_are_none() {
    let (Image { mut bytes }, expected) = image(LAYOUTS[4]);
    let digits = digits(&bytes);
    bytes[expected.names] ^= 1;
    assert_eq!(locate(&bytes, digits, Endian::Little), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_panics_and_never_moves_the_tokens(
        layout in 0..LAYOUTS.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let (Image { mut bytes }, expected) = image(LAYOUTS[layout]);
        let digits = digits(&bytes);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(found) = locate(&bytes, digits, Endian::Little) {
            prop_assert_eq!(found.token_index, expected.token_index);
        }
    }
}
