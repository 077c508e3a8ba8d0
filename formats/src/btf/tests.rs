use std::sync::Arc;

use proptest::prelude::{any, proptest};

use super::synthetic::Builder;
use super::*;

/// An int, a list, and a task with all that a member can be.
fn kernel() -> Builder {
    let mut btf = Builder::new();
    let int = btf.plain("int", 1, 4, &[32]);
    let pointer = btf.plain("", 2, int, &[]);
    let list =
        btf.aggregate(4, "list_head", 16, &[("next", pointer, 0, 0), ("prev", pointer, 64, 0)]);
    let constant = btf.plain("", 10, list, &[]);
    let alias = btf.plain("list_t", 8, constant, &[]);
    let lists = btf.plain("", 3, 0, &[alias, int, 3]);
    let bits = btf.aggregate(4, "", 4, &[("low", int, 0, 3), ("high", int, 9, 15)]);
    let union = btf.aggregate(5, "", 8, &[("", bits, 0, 0), ("whole", int, 0, 0)]);
    btf.aggregate(
        4,
        "task",
        64,
        &[("pid", int, 32, 0), ("", union, 64, 0), ("lists", lists, 128, 0)],
    );
    btf.enumeration(6, "state", &[("RUNNING", 0), ("LOST", -1)]);
    btf.enumeration(19, "wide", &[("FAR", 1 << 40)]);
    btf
}

fn parse(bytes: Vec<u8>) -> Result<Btf, BtfError> {
    Btf::parse(bytes, Endian::Little)
}

fn field(offset: u64, size: u64) -> Field {
    Field { offset, size, bits: None, elements: None }
}

#[test]
fn members_are_found_through_aliases_arrays_and_what_has_no_name() {
    let btf = parse(kernel().build()).unwrap();
    assert_eq!(btf.field("task", "pid"), Ok(field(4, 4)));
    assert_eq!(btf.field("task", "whole"), Ok(field(8, 4)));
    assert_eq!(btf.field("task", "lists[2].prev"), Ok(field(16 + 32 + 8, 8)));
    assert_eq!(btf.field("task", "lists"), Ok(Field { elements: Some(3), ..field(16, 48) }));
    assert_eq!(btf.field("list_t", "next"), Ok(field(0, 8)));
    let high = btf.field("task", "high").unwrap();
    assert_eq!((high.offset, high.size, high.bits), (9, 2, Some(Bits { offset: 1, size: 15 })));
    assert_eq!((btf.size("task"), btf.size("list_t")), (Ok(64), Ok(16)));
}

#[test]
fn what_is_not_there_is_named() {
    let btf = parse(kernel().build()).unwrap();
    for (structure, path, error) in [
        ("nothing", "pid", "the kernel has no type nothing"),
        ("task", "tgid", "task has no tgid"),
        ("task", "lists[3].next", "task has no lists[3].next"),
        ("task", "pid.x", "task has no pid.x"),
        ("task", "", "task has no "),
        ("task", "lists[x]", "task has no lists[x]"),
        ("state", "RUNNING", "state has no RUNNING"),
    ] {
        assert_eq!(btf.field(structure, path).unwrap_err().to_string(), error);
    }
}

#[test]
fn values_have_signs_where_the_type_says_so() {
    let btf = parse(kernel().build()).unwrap();
    assert_eq!(btf.enumerator("state", "LOST"), Ok(-1));
    assert_eq!(btf.enumerator("wide", "FAR"), Ok(1 << 40));
    assert_eq!(btf.enumerators("state").unwrap().len(), 2);
    assert!(btf.enumerator("state", "FAR").is_err() && btf.enumerators("task").is_err());
}

#[test]
fn a_modules_types_go_on_where_the_kernels_end() {
    let base = Arc::new(parse(kernel().build()).unwrap());
    let mut module = Builder::split(base.next_id(), base.next_string());
    // Number 3 is the kernel's list_head.
    module.aggregate(4, "driver", 32, &[("list", 3, 64, 0)]);
    let module = Btf::parse_split(module.build(), Arc::clone(&base)).unwrap();
    assert_eq!(module.field("driver", "list.prev"), Ok(field(16, 8)));
    assert_eq!(module.field("task", "pid"), Ok(field(4, 4)));
    assert!(base.field("driver", "list").is_err());
}

#[test]
fn kinds_that_came_later_are_passed_over_by_the_layout_section() {
    let mut btf = kernel();
    btf.plain("future", 77, 0, &[1, 2, 3]);
    btf.aggregate(4, "behind", 8, &[]);
    let without = parse(btf.build()).unwrap();
    assert!(without.size("behind").is_err() && without.size("task").is_ok());
    assert!(without.unread().unwrap().contains("type 12 "));
    let mut layout = vec![(0, 0); 77];
    layout.push((12, 8));
    btf.layout(&layout);
    let with = parse(btf.build()).unwrap();
    assert_eq!((with.unread(), with.size("behind")), (None, Ok(8)));
}

#[test]
fn a_type_that_refers_to_itself_or_holds_itself_ends() {
    let mut btf = Builder::new();
    btf.plain("loop", 8, 1, &[]);
    btf.aggregate(4, "self", 8, &[("", 2, 0, 0), ("", 2, 0, 0)]);
    btf.plain("", 3, 0, &[3, 1, 9]);
    btf.plain("array", 8, 3, &[]);
    let btf = parse(btf.build()).unwrap();
    assert!(btf.size("loop").is_err() && btf.size("array").is_err());
    assert!(btf.field("self", "x").is_err() && btf.field("loop", "x").is_err());
}

#[test]
fn every_truncation_is_an_error_and_never_a_panic() {
    let whole = kernel().build();
    for len in 0..whole.len() {
        assert!(parse(whole[..len].to_vec()).is_err(), "cut at {len}");
    }
}

/// Looks at all that types consist of.
fn visit(btf: &Btf) -> usize {
    let parts = btf.types().map(|found| {
        let array = found.array().is_some() || found.integer().is_some();
        let listed = found.members().count() + found.values().count() + found.variables().count();
        listed + found.parameters().count() + usize::from(array) + btf.c_name(found.id).len()
    });
    parts.sum()
}

#[test]
fn types_have_the_parts_that_were_written() {
    let mut btf = kernel();
    let function = btf.plain("", 13, 1, &[]);
    let btf = parse(btf.build()).unwrap();
    let only = |name: &str| btf.named(name)[0];
    let members: Vec<_> = only("task").members().map(|one| (one.name, one.bit)).collect();
    assert_eq!(members, [(&b"pid"[..], 32), (b"", 64), (b"lists", 128)]);
    let lists = btf.member_of(only("task").id, "lists").unwrap();
    let array = btf.by_id(lists.id).and_then(|lists| lists.array()).unwrap();
    assert_eq!((array.count, btf.size_of(array.element)), (3, Some(16)));
    assert_eq!(only("state").values().collect::<Vec<_>>(), [(&b"RUNNING"[..], 0), (b"LOST", -1)]);
    assert_eq!(btf.member_of(only("task").id, "high").unwrap().bits, 15);
    let int = btf.by_id(1).and_then(|int| int.integer()).unwrap();
    assert_eq!((int.bits, int.signed), (32, false));
    assert!(btf.by_id(function).is_some() && btf.types().count() > 10);
}

proptest! {
    #[test]
    fn damaged_bytes_give_something_and_never_a_panic(at in 0_usize..500, bytes in any::<[u8; 4]>()) {
        let mut whole = kernel().build();
        let at = at.min(whole.len() - 4);
        whole[at..at + 4].copy_from_slice(&bytes);
        if let Ok(btf) = parse(whole) {
            let _ = (btf.field("task", "lists[1].next"), btf.size("task"), btf.enumerators("state"));
            visit(&btf);
        }
    }

    #[test]
    fn random_types_give_something_and_never_a_panic(words in proptest::collection::vec(any::<u32>(), 0..200)) {
        let mut btf = kernel();
        // Kinds that exist, so that what follows is looked at.
        for word in &words {
            btf.plain("task", word % 20, *word >> 5, &[*word >> 28, *word >> 20, 2]);
        }
        if let Ok(btf) = parse(btf.build()) {
            let _ = (btf.field("task", "x"), btf.size("task"), btf.enumerators("task"));
            visit(&btf);
        }
    }
}

#[test]
fn types_that_share_a_name_and_values_of_an_enumeration_are_bounded() {
    let mut btf = kernel();
    for _ in 0..10_000 {
        btf.plain("task", 4, 8, &[]);
    }
    let values: Vec<_> = (0..70_000).map(|value| ("STATE", value)).collect();
    btf.enumeration(6, "many", &values);
    let btf = parse(btf.build()).unwrap();
    assert_eq!(btf.named("task").len(), MAX_ALIKE);
    assert_eq!(btf.field("task", "pid"), Ok(field(4, 4)));
    assert!(btf.enumerators("many").unwrap().len() < values.len());
}
