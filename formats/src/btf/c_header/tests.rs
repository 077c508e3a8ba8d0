use proptest::prelude::{any, proptest};

use super::*;
use crate::btf::synthetic::Builder;
use crate::endian::Endian;

fn header(btf: &Builder) -> Header {
    Btf::parse(btf.build(), Endian::Little).unwrap().c_header()
}

#[test]
fn what_is_had_by_value_is_written_before() {
    let mut btf = Builder::new();
    let int = btf.plain("int", 1, 4, &[1 << 24 | 32]);
    // struct outer has struct inner by a typedef, which comes later.
    btf.aggregate(4, "outer", 16, &[("inner", 3, 0, 0), ("state", 5, 64, 0), ("", 6, 96, 0)]);
    btf.plain("inner_t", 8, 4, &[]);
    btf.aggregate(4, "inner", 8, &[("value", int, 0, 0), ("outer", int, 32, 0)]);
    btf.enumeration(6, "", &[("A", 0), ("B", -1)]);
    btf.aggregate(5, "", 4, &[("one", int, 0, 0)]);
    let text = header(&btf).text;
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(at("struct inner {\n\tint value;\n\tint outer;\n};") < at("struct outer {"));
    assert!(at("typedef struct inner inner_t;") < at("struct outer {"));
    assert!(at("enum anonymous_5 {\n\tA = 0,\n\tB = -1,\n};") < at("struct outer {"));
    at(
        "struct outer {\n\tinner_t inner;\n\tenum anonymous_5 state;\n\tunion {\n\t\tint one;\n\t};\n};",
    );
}

#[test]
fn members_are_where_btf_has_them() {
    let mut btf = Builder::new();
    let int = btf.plain("int", 1, 4, &[1 << 24 | 32]);
    let byte = btf.plain("unsigned char", 1, 1, &[8]);
    btf.aggregate(4, "padded", 24, &[("one", byte, 0, 0), ("two", int, 64, 0)]);
    btf.aggregate(4, "packed", 5, &[("one", byte, 0, 0), ("two", int, 8, 0)]);
    btf.aggregate(4, "bits", 8, &[("low", int, 0, 3), ("high", int, 9, 5), ("word", int, 32, 32)]);
    let text = header(&btf).text;
    for part in [
        "struct padded {\n\tunsigned char one;\n\tunsigned char __padding_1[7];\n\tint two;\n\tunsigned char __padding_12[12];\n};",
        "struct packed {\n\tunsigned char one;\n\tint two;\n} __attribute__((packed));",
        "\tint low: 3;\n\tunsigned char: 5;\n\tunsigned char: 1;\n\tint high: 5;\n",
    ] {
        assert!(text.contains(part), "{part}\nin\n{text}");
    }
}

#[test]
fn names_are_harmless_and_there_is_one_of_each() {
    let mut btf = Builder::new();
    let int = btf.plain("int", 1, 4, &[1 << 24 | 32]);
    btf.aggregate(4, "file", 4, &[("default", int, 0, 0)]);
    btf.aggregate(4, "file", 4, &[("one\n#include \"/etc/passwd\"", int, 0, 0)]);
    btf.plain("file", 7, 0, &[]);
    btf.enumeration(6, "state", &[("A", 0)]);
    btf.enumeration(6, "state", &[("A", 1)]);
    let text = header(&btf).text;
    assert!(text.contains("struct file___2 {") && text.contains("A___2 = 1"), "{text}");
    assert!(!text.contains("passwd") && !text.contains("default"), "{text}");
}

#[test]
fn what_has_itself_or_multiplies_ends() {
    let mut btf = Builder::new();
    btf.aggregate(4, "itself", 8, &[("me", 1, 0, 0)]);
    btf.plain("loop", 8, 3, &[]);
    btf.plain("pool", 8, 2, &[]);
    for id in 4..40 {
        btf.aggregate(4, "", 0, &[("", id + 1, 0, 0), ("a", id + 1, 0, 0), ("b", id + 1, 0, 0)]);
    }
    btf.aggregate(4, "many", 0, &[("", 4, 0, 0)]);
    let made = header(&btf);
    assert!(made.text.contains("struct itself {\n\tunsigned char me[8];\n};"), "{}", made.text);
    assert!(made.text.len() < MAX_LENGTH + 4096);
}

proptest! {
    #[test]
    fn random_types_give_something_and_never_a_panic(words in proptest::collection::vec(any::<u32>(), 0..200)) {
        let mut btf = Builder::new();
        let int = btf.plain("int", 1, 4, &[1 << 24 | 32]);
        for word in &words {
            let id = word >> 24;
            match word % 3 {
                0 => { btf.plain("type", word % 20, id, &[word >> 28, word >> 20, 2]); }
                _ => {
                    let members = [("a", id, (word >> 4) & 0x3f, word % 9), ("", id ^ 1, word >> 20, 0)];
                    btf.aggregate(4 + word % 2, "", (word >> 8) & 0xff, &members);
                }
            }
        }
        btf.aggregate(4, "last", 64, &[("", int + 1, 0, 0)]);
        let _ = header(&btf);
    }
}
