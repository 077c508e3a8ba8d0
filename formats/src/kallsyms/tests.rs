use proptest::prelude::*;

use super::synthetic::{Symbol, names, token_tables};
use super::*;
use crate::addr::VirtAddr;
use crate::endian::Endian;

const LONG: &str = "tconst_very_long_name_of_a_function_that_rust_has_mangled_into_something_longer_than_one_byte_can_tell_the_length_of_and_then_some_more";

const SYMBOLS: &[Symbol<'static>] = &[
    (0x1000, "Tinit_table"),
    (0x1010, "Tsys_read"),
    (0x1010, "T__x64_sys_read"),
    (0x1040, "tkfree"),
    (0x1080, "tkfree"),
    (0x1100, LONG),
    (0x2000, "Dper_cpu_offset"),
    (0x2008, "dx"),
];

fn tokens() -> Tokens {
    let (table, index) = token_tables();
    Tokens::decode(&table, &index, Endian::Little).unwrap()
}

fn walked(symbols: &[Symbol<'_>]) -> Names {
    Names::walk(names(symbols).0, symbols.len() as u32, tokens())
}

fn shown(name: &Name) -> String {
    format!("{}{}", char::from(name.letter), name.text)
}

#[test]
fn names_are_what_was_packed() {
    assert!(LONG.len() > 127);
    let names = walked(SYMBOLS);
    assert_eq!(names.count() as usize, SYMBOLS.len());
    for (index, (_, name)) in SYMBOLS.iter().enumerate() {
        assert_eq!(shown(&names.name(index as u32).unwrap()), *name);
        assert_eq!(names.letter(index as u32), name.bytes().next());
        assert!(names.is(index as u32, &name[1..]) && !names.is(index as u32, name));
    }
    assert_eq!(names.name(SYMBOLS.len() as u32), None);
    assert_eq!(names.iter().map(|name| shown(&name)).collect::<Vec<_>>(), {
        SYMBOLS.iter().map(|(_, name)| *name).collect::<Vec<_>>()
    });
}

#[test]
fn many_names_are_found_by_number_and_by_name() {
    let texts: Vec<String> = (0..1000).map(|index| format!("tsys_{}_init", index / 2)).collect();
    let symbols: Vec<Symbol<'_>> =
        texts.iter().zip(0..).map(|(text, at)| (at, text.as_str())).collect();
    let names = walked(&symbols);
    let index = NameIndex::new(&names);
    for (number, text) in (0..).zip(&texts) {
        assert_eq!(&shown(&names.name(number).unwrap()), text);
        assert_eq!(index.all(&names, &text[1..]), [number & !1, number | 1]);
    }
    assert_eq!(index.all(&names, "sys_500_init"), []);
}

#[test]
fn a_name_is_found_however_its_letters_are_cut_into_tokens() {
    let names = walked(SYMBOLS);
    let index = NameIndex::new(&names);
    assert_eq!(index.all(&names, "kfree"), [3, 4]);
    assert_eq!(index.all(&names, "sys_read"), [1]);
    assert_eq!(index.all(&names, "__x64_sys_read"), [2]);
    assert_eq!(index.all(&names, "x"), [7]);
    assert_eq!(index.all(&names, &LONG[1..]), [5]);
    assert_eq!(index.all(&names, ""), []);
}

#[test]
fn every_truncation_of_the_names_gives_those_before_it() {
    let (stream, _) = names(SYMBOLS);
    for length in 0..stream.len() {
        let names = Names::walk(stream[..length].to_vec(), SYMBOLS.len() as u32, tokens());
        assert!((names.count() as usize) < SYMBOLS.len(), "cut at {length}");
        for (name, (_, expected)) in names.iter().zip(SYMBOLS) {
            assert_eq!(shown(&name), *expected);
        }
    }
}

#[test]
fn every_truncation_of_the_tokens_is_an_error_and_never_a_panic() {
    let (table, index) = token_tables();
    let decode = |table, index| Tokens::decode(table, index, Endian::Little).map(|_| ());
    for length in 0..table.len() {
        assert!(decode(&table[..length], &index).is_err(), "table cut at {length}");
    }
    for length in 0..index.len() {
        assert!(decode(&table, &index[..length]).is_err(), "index cut at {length}");
    }
    let mut wrong = index.clone();
    wrong[100] ^= 1;
    assert!(matches!(decode(&table, &wrong), Err(TokenError::Index { token: 50, .. })));
}

#[test]
fn an_empty_name_ends_the_walk() {
    let names = Names::walk(vec![2, b't', b'a', 0, 2, b't', b'b'], 3, tokens());
    assert_eq!(names.count(), 1);
}

#[test]
fn each_mode_gives_the_same_addresses() {
    let base = 0xffff_ffff_8100_0000;
    let wanted: [u64; 4] = [base, base + 0x10, base + 0x10, base + 0x20_0000];
    let table = VirtAddr(0xffff_ffff_8200_0000);
    let offsets = |offset: &dyn Fn(u64, u64) -> u64| -> Vec<u8> {
        let entries = wanted.iter().zip(0_u64..);
        entries.flat_map(|(at, index)| (offset(*at, index) as u32).to_le_bytes()).collect()
    };
    let start = VirtAddr(base);
    let cases = [
        (Mode::Absolute, wanted.iter().flat_map(|at| at.to_le_bytes()).collect()),
        (Mode::BaseRelative { base: start }, offsets(&|at, _| at - base)),
        (Mode::AbsolutePerCpu { base: start }, offsets(&|at, _| (base - 1).wrapping_sub(at))),
        (Mode::PlaceRelative { table }, offsets(&|at, index| at.wrapping_sub(table.0 + index * 4))),
    ];
    for (mode, bytes) in cases {
        let addresses = Addresses::new(mode, bytes, 9, Endian::Little);
        assert_eq!((addresses.count(), addresses.disorder()), (4, 0));
        for (at, index) in wanted.iter().zip(0..) {
            assert_eq!(addresses.address(index), Some(VirtAddr(*at)), "{mode:?}");
        }
        assert_eq!(addresses.address(4), None);
        assert_eq!(addresses.at_or_below(VirtAddr(base + 0x1f)), Some(1..3));
        assert_eq!(addresses.at_or_below(VirtAddr(base - 1)), None);
        assert_eq!(addresses.at_or_below(VirtAddr(u64::MAX)), Some(3..4));
    }
}

#[test]
fn per_cpu_symbols_stand_as_they_are() {
    let bytes = [0x40_i32, -1, -0x11].into_iter().flat_map(i32::to_be_bytes).collect();
    let mode = Mode::AbsolutePerCpu { base: VirtAddr(0x8000) };
    let addresses = Addresses::new(mode, bytes, 3, Endian::Big);
    let all: Vec<_> = (0..3).filter_map(|index| addresses.address(index)).collect();
    assert_eq!(all, [VirtAddr(0x40), VirtAddr(0x8000), VirtAddr(0x8010)]);
}

#[test]
fn addresses_that_are_out_of_order_are_found_all_the_same() {
    let bytes = [0_u32, 0x40, 0x10, 0x80].into_iter().flat_map(u32::to_le_bytes).collect();
    let mode = Mode::BaseRelative { base: VirtAddr(0x1000) };
    let addresses = Addresses::new(mode, bytes, 4, Endian::Little);
    assert_eq!(addresses.disorder(), 1);
    let index = |at| addresses.in_order(addresses.at_or_below(VirtAddr(at)).unwrap().start);
    assert_eq!((index(0x1015), index(0x1041), index(0x1080)), (Some(2), Some(1), Some(3)));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(
        table in proptest::collection::vec(any::<u8>(), 0..2000),
        index in proptest::collection::vec(any::<u8>(), 0..520),
        stream in proptest::collection::vec(any::<u8>(), 0..2000),
        count: u32,
    ) {
        let _ = Tokens::decode(&table, &index, Endian::Little);
        let names = Names::walk(stream.clone(), count, tokens());
        let by_name = NameIndex::new(&names);
        for (number, name) in (0..).zip(names.iter()) {
            prop_assert_eq!(names.name(number), Some(name.clone()));
            let is_whole = !name.text.contains([char::REPLACEMENT_CHARACTER, '…']);
            if is_whole && name.letter != b'?' {
                prop_assert!(by_name.all(&names, &name.text).contains(&number));
            }
        }
        let modes = [
            Mode::Absolute,
            Mode::BaseRelative { base: VirtAddr(u64::MAX) },
            Mode::AbsolutePerCpu { base: VirtAddr(0) },
            Mode::PlaceRelative { table: VirtAddr(u64::MAX) },
        ];
        for mode in modes {
            let addresses = Addresses::new(mode, stream.clone(), count, Endian::Little);
            for number in 0..addresses.count() {
                let at = addresses.address(number).unwrap();
                let found = addresses.at_or_below(at).unwrap();
                prop_assert!(found.filter_map(|at| addresses.in_order(at)).any(|index| index == number));
            }
        }
    }
}

/// Tokens of which the first has `letters` letters, and the others none.
fn one_token(letters: usize) -> Tokens {
    let (mut table, mut index) = (Vec::new(), Vec::new());
    for token in 0..256 {
        index.extend((table.len() as u16).to_le_bytes());
        table.extend(vec![b'a'; if token == 0 { letters } else { 0 }]);
        table.push(0);
    }
    Tokens::decode(&table, &index, Endian::Little).unwrap()
}

/// 21,695 tokens of 16,000 letters made one name of 347 MB.
#[test]
fn a_name_is_as_long_as_the_kernel_lets_one_be_whatever_its_tokens_are() {
    let length = |count: usize| [0x80 | (count & 0x7f) as u8, (count >> 7) as u8];
    for (letters, count) in [(16_000, 21_695), (16_000, 2), (1, 32_767), (600, 1), (0, 32_767)] {
        let stream = [length(count).to_vec(), vec![0; count], vec![1, 0]].concat();
        let names = Names::walk(stream, 2, one_token(letters));
        assert_eq!(names.count(), 2, "the names behind it are not lost");
        let name = names.name(0).unwrap().text;
        assert!(name.len() <= crate::text::MAX_NAME, "{letters} {count}: {}", name.len());
        assert_eq!(name.ends_with('…'), letters > 0 || count > 512, "{letters} {count}");
        assert!(!names.is(0, &"a".repeat(letters * count)) || letters == 0);
        assert!(names.iter().all(|name| name.text.len() <= crate::text::MAX_NAME));
    }
}

#[test]
fn the_longest_name_of_a_kernel_is_whole() {
    let name = format!("t{}", "n".repeat(511));
    let names = walked(&[(0x1000, &name)]);
    assert_eq!(shown(&names.name(0).unwrap()), name);
    assert!(names.is(0, &name[1..]));
}
