use proptest::prelude::{any, proptest};

use super::*;
use crate::kernel::test_kernel::Member::{Array, Number, Of, Text};
use crate::kernel::test_kernel::{DIRECT, TestKernel};

const AT: u64 = DIRECT + 0x1_0000;
/// The end of memory.
const END: u64 = DIRECT + 0x20_0000;

/// Three things in a list, whose head is in a box that points to the second one.
fn kernel() -> TestKernel {
    let mut kernel = TestKernel::new();
    let list = kernel.structure("list_head", 16, &[("next", Number(8), 0), ("prev", Number(8), 8)]);
    kernel.structure("rb_root", 8, &[("rb_node", Number(8), 0)]);
    let node = kernel.structure(
        "rb_node",
        24,
        &[
            ("__rb_parent_color", Number(8), 0),
            ("rb_right", Number(8), 8),
            ("rb_left", Number(8), 16),
        ],
    );
    let inner = kernel.structure("", 8, &[("low", Number(4), 0), ("high", Number(4), 4)]);
    let thing = kernel.structure(
        "thing",
        0x80,
        &[
            ("number", Number(4), 0),
            ("link", Of(list), 8),
            ("name", Text(8), 0x18),
            ("", Of(inner), 0x20),
            ("many", Array(inner, 4), 0x28),
            ("node", Of(node), 0x48),
        ],
    );
    let types = kernel.types();
    let pointer = types.plain("", 2, thing, &[]);
    let letter = types.plain("char", 1, 1, &[8]);
    let text = types.plain("", 2, letter, &[]);
    let signed = types.plain("int", 1, 4, &[1 << 24 | 32]);
    let state = types.enumeration(6, "state", &[("RUNNING", 0), ("LOST", 7)]);
    let only_declared = types.plain("thing", 7, 0, &[]);
    let to_declared = types.plain("", 2, only_declared, &[]);
    types.aggregate(
        4,
        "box",
        0x40,
        &[
            ("head", list, 0, 0),
            ("second", pointer, 128, 0),
            ("text", text, 192, 0),
            ("three", signed, 256, 3),
            ("rest", signed, 259, 29),
            ("state", state, 288, 0),
            ("declared", to_declared, 320, 0),
        ],
    );
    let before = types.aggregate(4, "before", 16, &[]);
    let to_chained = types.plain("", 2, before + 2, &[]);
    types.aggregate(4, "chained", 16, &[("value", signed, 0, 0), ("next", to_chained, 64, 0)]);
    let things = [AT + 0x100, AT + 0x200, AT + 0x300];
    let mut kernel = kernel.list(AT, &things.map(|at| at + 8));
    for (at, number) in things.into_iter().zip([11, 22, 33]) {
        kernel = kernel
            .bytes(at, &u32::to_le_bytes(number))
            .bytes(at + 0x18, b"one\0")
            .words(at + 0x20, &[0x2_0000_0001]);
    }
    kernel.words(AT + 16, &[things[1], AT + 0x118, 0x7_0000_001e, things[0]]).symbol("things", AT)
}

fn query(subject: &str, expression: &str) -> Query {
    Query {
        subject: subject.to_owned(),
        expression: (!expression.is_empty()).then(|| expression.to_owned()),
        objects: Objects::Itself,
        cpu: None,
        elements: 200,
        depth: 8,
    }
}

#[track_caller]
fn one(kernel: &TestKernel, subject: &str, expression: &str) -> Value {
    let mut printed = kernel.build().print(&query(subject, expression)).unwrap();
    assert_eq!(printed.objects.len(), 1);
    printed.objects.remove(0).value
}

#[track_caller]
fn error(subject: &str, expression: &str) -> String {
    kernel().build().print(&query(subject, expression)).unwrap_err().to_string()
}

fn numbers(printed: &Printed) -> Vec<Value> {
    printed.objects.iter().map(|object| object.value.clone()).collect()
}

fn listed(kernel: &TestKernel, objects: Objects, subject: &str, expression: &str) -> Printed {
    kernel.build().print(&Query { objects, ..query(subject, expression) }).unwrap()
}

#[test]
fn paths_lead_through_pointers_and_into_what_has_no_name() {
    let kernel = kernel();
    for path in ["things.second.number", "things.second->number"] {
        assert_eq!(one(&kernel, "box", path), Value::Unsigned(22));
    }
    // The memory is read as another type.
    assert_eq!(one(&kernel, "int", "thing@0xffff888000010200.number"), Value::Signed(22));
    assert_eq!(one(&kernel, "box", "things.second.high"), Value::Unsigned(2));
    assert_eq!(one(&kernel, "box", "things.second.many[3].low"), Value::Unsigned(0));
    // The pointer is to a type that is declared only.
    assert_eq!(one(&kernel, "box", "things.declared.number"), Value::Unsigned(11));
    let at = format!("{:x}", AT + 0x210);
    let container = Objects::ContainerOf("link.prev".to_owned());
    let found = listed(&kernel, container, "thing.number", &at);
    assert_eq!(found.objects[0].address, Some(AT + 0x200));
}

#[test]
fn values_are_what_their_types_say() {
    let kernel = kernel();
    let Value::Members(members) = one(&kernel, "box", "things") else { panic!("members") };
    let of = |name: &str| members.iter().find(|member| member.name == name).unwrap().value.clone();
    // 0x1e is 11 110.
    assert_eq!((of("three"), of("rest")), (Value::Signed(-2), Value::Signed(3)));
    assert_eq!(of("state"), Value::Enum { value: 7, name: Some("LOST".to_owned()) });
    let text = Some(value::Text { text: "one".to_owned(), is_cut: false });
    assert_eq!(of("text"), Value::Pointer { to: AT + 0x118, symbol: None, text });
    assert_eq!(one(&kernel, "box", "things.rest"), Value::Signed(3));
    let many = one(&kernel, "box", "things.second.many");
    let Value::Elements(Elements { shown, left_out: 0 }) = many else { panic!("{many:?}") };
    assert_eq!((shown.len(), shown[0].1), (1, 4));
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_there() {
    let at = END - 0x20;
    let kernel = kernel().bytes(at, &[44, 0, 0, 0]);
    let Value::Members(members) = one(&kernel, "thing", &format!("{at:x}")) else {
        panic!("members")
    };
    assert_eq!(members[0].value, Value::Unsigned(44));
    let unreadable = |value: &Value| matches!(value, Value::Unreadable(why) if why.contains("missing") || why.contains("mapped"));
    let Value::Members(inner) = &members[3].value else { panic!("{members:?}") };
    assert!(unreadable(&inner[0].value), "{inner:?}");
    assert!(unreadable(&one(&kernel, "thing *", "0x10")), "a null pointer's page");
}

#[test]
fn lists_are_walked_to_where_they_break() {
    let kernel = kernel();
    let list = || Objects::List("link".to_owned());
    let found = listed(&kernel, list(), "thing.number", "things");
    let number = |number| {
        Value::Members(vec![MemberValue {
            name: "number".to_owned(),
            value: Value::Unsigned(number),
        }])
    };
    assert_eq!(numbers(&found), [number(11), number(22), number(33)]);
    assert_eq!(found.findings, Vec::<String>::new());
    // By an expression that has the head's own type, or leads to the head.
    assert_eq!(listed(&kernel, list(), "thing.number", "box@things.head").objects.len(), 3);
    let first = Query { objects: list(), elements: 1, ..query("thing", "things") };
    let first = kernel.build().print(&first).unwrap();
    assert_eq!((first.objects.len(), first.left_out), (1, 2));
    // A circle that does not come back to the head.
    let circle = kernel.words(AT + 0x308, &[AT + 0x108]);
    let found = listed(&circle, list(), "thing.number", "things");
    assert_eq!(found.objects.len(), 3);
    assert!(found.findings[0].contains("damaged"), "{:?}", found.findings);
}

#[test]
fn chains_of_pointers_end_at_null_or_where_they_were() {
    let chain = kernel().words(AT + 0x400, &[AT + 0x500]).words(AT + 0x500, &[1, AT + 0x600]);
    let chain = chain.words(AT + 0x600, &[2, 0]);
    let list = || Objects::List("next".to_owned());
    let at = format!("{:x}", AT + 0x400);
    assert_eq!(listed(&chain, list(), "chained", &at).objects.len(), 2);
    let circle = chain.words(AT + 0x600, &[2, AT + 0x500]);
    let found = listed(&circle, list(), "chained", &at);
    assert_eq!(found.objects.len(), 2);
    assert!(found.findings[0].contains("twice"), "{:?}", found.findings);
}

#[test]
fn trees_are_in_order() {
    let (root, node) = (AT + 0x700, |thing: u64| thing + 0x48);
    let [left, middle, right] = [AT + 0x100, AT + 0x200, AT + 0x300];
    let kernel = kernel()
        .words(root, &[node(middle)])
        .words(node(middle), &[1, node(right), node(left)])
        .words(node(left), &[node(middle), 0, 0])
        .words(node(right), &[node(middle) | 1, 0, 0]);
    let tree = Objects::Tree("node".to_owned());
    let found = listed(&kernel, tree, "thing", &format!("{root:x}"));
    let addresses: Vec<_> = found.objects.iter().map(|object| object.address.unwrap()).collect();
    assert_eq!(addresses, [left, middle, right]);
}

#[test]
fn what_is_not_there_is_named_with_what_is_similar() {
    for (subject, expression, text) in [
        ("thnig", "", "has a type thnig"),
        ("thing", "thingz", "no symbol thingz"),
        ("box", "things.secnd", "struct box has no member secnd"),
        ("box.secnd", "things", "struct box has no member secnd"),
        ("box", "things.second.many[4]", "has 4 elements"),
        ("box", "things.state[4]", "is no array"),
        ("things.head", "", "does not tell the type of things"),
        ("thing", "thing@", "no symbol and no address"),
        ("thing [x]", "things", "[x] has no number"),
    ] {
        let said = error(subject, expression);
        assert!(said.contains(text), "{subject} {expression}: {said}");
    }
    let hint = kernel().build().print(&query("thnig", "")).unwrap_err().hint();
    assert!(hint.unwrap().contains("thing"));
    let link = Query { objects: Objects::List("number".to_owned()), ..query("thing", "things") };
    let said = kernel().build().print(&link).unwrap_err().to_string();
    assert_eq!(said, "struct thing.number is number, and links no list");
}

#[test]
fn a_layout_has_the_offsets_and_what_has_no_name() {
    let printed = kernel().build().print(&query("thing", "")).unwrap();
    assert_eq!((printed.type_name.as_str(), printed.size), ("struct thing", Some(0x80)));
    let layout = printed.layout.unwrap();
    let offsets: Vec<_> = layout.members.iter().map(|member| member.bit / 8).collect();
    assert_eq!(offsets, [0, 8, 0x18, 0x20, 0x28, 0x48]);
    assert_eq!(layout.members[3].members[1].bit / 8, 0x24);
    let only = kernel().build().print(&query("thing.high", "")).unwrap().layout.unwrap();
    assert_eq!(only.members.len(), 1);
}

#[test]
fn types_that_multiply_have_an_end() {
    let mut kernel = kernel();
    let mut id = kernel.structure("cell", 8, &[("value", Number(8), 0)]);
    let types = kernel.types();
    for _ in 0..6 {
        let array = types.plain("", 3, 0, &[id, 1, 4000]);
        id = types.aggregate(4, "cells", 0x4000_0000, &[("cells", array, 0, 0)]);
    }
    types.aggregate(4, "itself", 0, &[("", id + 1, 0, 0), ("", id + 1, 0, 0)]);
    let found = kernel.build().print(&query("cells", "things")).unwrap();
    assert!(serde_json::to_vec(&found).unwrap().len() < 16 << 20);
    let itself = kernel.build().print(&query("itself", "things")).unwrap();
    assert!(serde_json::to_vec(&itself).unwrap().len() < 16 << 20);
}

proptest! {
    #[test]
    fn random_types_give_something_and_never_a_panic(words in proptest::collection::vec(any::<u32>(), 0..100), at in any::<u64>()) {
        let mut kernel = kernel();
        for word in &words {
            kernel.types().plain("wild", word % 20, *word >> 5, &[*word >> 28, *word >> 20, 2]);
        }
        let kernel = kernel.build();
        for expression in ["things".to_owned(), format!("{at:x}"), String::new(), "things.value[3]".to_owned()] {
            let _ = kernel.print(&query("wild", &expression));
            let listed = Query { objects: Objects::List("value".to_owned()), ..query("wild", &expression) };
            let _ = kernel.print(&listed);
        }
    }
}

#[test]
fn names_complete_to_whole_words_that_can_be_printed() {
    let kernel = kernel();
    let kernel = kernel.build();
    let itself = Word::Expression { subject: "box", is_itself: true };
    for (word, typed, expected) in [
        (Word::Subject, "thi", &["thing"][..]),
        (Word::Subject, "thing.na", &["thing.name"]),
        (Word::Subject, "thing.number,lin", &["thing.number,link", "thing.number,link."]),
        (Word::Subject, "box.second.link.p", &["box.second.link.prev"]),
        (
            Word::Subject,
            "thing@things.n",
            &["thing@things.name", "thing@things.node", "thing@things.number"],
        ),
        (itself, "things.se", &["things.second", "things.second."]),
        (itself, "things->second->nu", &["things->second->number"]),
        (itself, "things.second.many[2].hi", &["things.second.many[2].high"]),
        // The pointer is to a type that is declared only.
        (itself, "things.declared.numb", &["things.declared.number"]),
        (itself, "thing@0xffff888000010200.numb", &["thing@0xffff888000010200.number"]),
        (Word::Member { subject: "thing.number" }, "li", &["link", "link."]),
        (Word::Member { subject: "thing" }, "link.n", &["link.next"]),
        (Word::Subject, "nothing", &[]),
        (Word::Subject, "thing.number.", &[]),
        (itself, "things.head.next.", &[]),
        (itself, "things.many[", &[]),
        (Word::Member { subject: "nothing" }, "", &[]),
    ] {
        assert_eq!(kernel.complete(word, typed), expected, "{typed}");
    }
}

#[test]
fn a_name_that_a_shell_could_run_is_left_out() {
    let mut kernel = kernel();
    for name in
        ["thing$(reboot)", "thing;reboot", "thing\nreboot", "thing x", "thing'", "thing\x1b"]
    {
        kernel.structure(name, 8, &[("a`reboot`", Number(8), 0), ("a", Number(8), 0)]);
    }
    kernel.structure("things_of", 8, &[("a`reboot`", Number(8), 0), ("ab", Number(8), 0)]);
    let kernel = kernel.build();
    assert_eq!(kernel.complete(Word::Subject, "thing"), ["thing", "things_of"]);
    assert_eq!(kernel.complete(Word::Subject, "things_of.a"), ["things_of.ab"]);
}

#[test]
fn of_too_many_names_the_first_and_the_last_are_given() {
    let mut kernel = kernel();
    for number in 0..5000 {
        kernel.structure(&format!("s{number:04}"), 8, &[]);
    }
    let found = kernel.build().complete(Word::Subject, "s");
    assert_eq!((found.len(), found[0].as_str()), (4096, "s0000"));
    assert_eq!(found.last().map(String::as_str), Some("state"));
}

#[test]
fn pointers_far_from_the_image_need_no_list_of_modules() {
    let kernel = kernel().symbol("_text", 0xffff_ffff_8100_0000).build();
    let printed = kernel.print(&query("box", "things")).unwrap();
    let Value::Members(members) = &printed.objects[0].value else { panic!("{printed:?}") };
    let second = members.iter().find(|member| member.name == "second").unwrap();
    assert!(matches!(&second.value, Value::Pointer { symbol: None, .. }), "{second:?}");
    assert!(kernel.modules.get().is_none());
}
