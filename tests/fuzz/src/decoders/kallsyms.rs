//! The kernel's symbols, and a module's.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::kallsyms::locate::{DIGITS, are_tokens, locate};
use vmcore_formats::kallsyms::module::ModuleTable;
use vmcore_formats::kallsyms::{Addresses, Mode, NameIndex, Names, Tokens};

use super::endian;
use crate::input::Input;
use crate::limits::{SMALL, within};

/// How many tokens there are.
const TOKENS: usize = 256;

/// A selector, parts with their lengths before them, and bytes.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let mut input = Input::new(input);
        let selector = input.u8();
        match selector >> 1 & 3 {
            0 => names(selector, &mut input),
            1 => addresses(selector, &mut input),
            2 => module(selector, &mut input),
            _ => tables(selector, &mut input),
        }
    });
}

/// Tables of tokens that match, from texts with a zero byte after each.
fn tokens(texts: &[u8], selector: u8) -> Option<Tokens> {
    let mut table = Vec::new();
    let mut index = Vec::new();
    let texts = texts.split(|byte| *byte == 0).chain(std::iter::repeat(&b"a"[..]));
    for text in texts.take(TOKENS) {
        let at = u16::try_from(table.len()).ok()?;
        index.extend(endian(selector).u16_bytes(at));
        table.extend_from_slice(text);
        table.push(0);
    }
    Tokens::decode(&table, &index, endian(selector)).ok()
}

fn names(selector: u8, input: &mut Input<'_>) {
    let texts = input.part();
    let count = u32::from(input.u16());
    let Some(tokens) = tokens(texts, selector) else { return };
    let names = Names::walk(input.rest().to_vec(), count, tokens);
    let index = NameIndex::new(&names);
    assert!(names.count() <= count);
    for (number, name) in (0_u32..).zip(names.iter()) {
        assert_eq!(names.name(number).as_ref(), Some(&name), "name {number}");
        let _ = (names.letter(number), names.is(number, &name.text));
        if number < 64 {
            let _ = index.all(&names, &name.text);
        }
    }
    let _ = names.name(names.count());
}

fn addresses(selector: u8, input: &mut Input<'_>) {
    let base = VirtAddr(input.u64());
    let mode = match selector >> 3 & 3 {
        0 => Mode::Absolute,
        1 => Mode::BaseRelative { base },
        2 => Mode::AbsolutePerCpu { base },
        _ => Mode::PlaceRelative { table: base },
    };
    let (count, wanted) = (input.u32(), VirtAddr(input.u64()));
    let addresses = Addresses::new(mode, input.rest().to_vec(), count, endian(selector));
    for at in [wanted, base, VirtAddr(0), VirtAddr(u64::MAX)] {
        for position in addresses.at_or_below(at).into_iter().flatten() {
            let index = addresses.in_order(position).expect("a symbol at each position");
            assert!(addresses.address(index).is_some_and(|found| found <= at));
        }
    }
    let _ = addresses.address(addresses.count());
}

fn module(selector: u8, input: &mut Input<'_>) {
    let (table, at) = (input.part(), VirtAddr(input.u64()));
    let symbols = ModuleTable::decode(table, endian(selector));
    let _ = symbols.texts_length();
    let symbols = symbols.with_texts(input.rest().to_vec());
    for at in [at, VirtAddr(u64::MAX)] {
        let _ = symbols.at_or_below(at).map(|found| found.name.len());
    }
}

/// Tables as they are in memory: names, count, tokens, index, addresses.
fn tables(selector: u8, input: &mut Input<'_>) {
    let (before, tokens) = (input.part(), input.part());
    let bytes = [before, DIGITS, tokens, input.rest()].concat();
    let _ = are_tokens(&bytes, before.len(), endian(selector));
    if let Some(found) = locate(&bytes, before.len(), endian(selector)) {
        for candidate in &found.addresses {
            assert!(candidate.at() < bytes.len(), "a table past the end");
        }
    }
}
