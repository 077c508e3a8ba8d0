use super::*;
use crate::kernel::test_kernel::Member::{Array, Number, Of, Text};
use crate::kernel::test_kernel::{DIRECT, Noise, TestKernel};

const AT: u64 = DIRECT + 0x1_0ff0;
/// The last byte of memory that is there, and one more.
const END: u64 = DIRECT + 0x20_0000;

fn kernel() -> TestKernel {
    let mut kernel = TestKernel::new();
    let inner = kernel.structure("inner", 8, &[("low", Number(4), 0), ("high", Number(4), 4)]);
    kernel.structure(
        "thing",
        0x60,
        &[
            ("byte", Number(1), 0),
            ("short", Number(2), 2),
            ("word", Number(4), 4),
            ("long", Number(8), 8),
            ("name", Text(8), 0x10),
            ("inner", Of(inner), 0x18),
            ("many", Array(inner, 4), 0x20),
            ("next", Number(8), 0x40),
        ],
    );
    let types = kernel.types();
    let int = types.plain("unsigned int", 1, 4, &[32]);
    types.aggregate(
        4,
        "flags",
        4,
        &[("one", int, 0, 1), ("five", int, 3, 5), ("rest", int, 8, 24)],
    );
    kernel
        .words(AT, &[0x8000_0001_fffe_00ff, u64::MAX - 1])
        .bytes(AT + 0x10, b"swapper\0")
        .words(AT + 0x18, &[0x1111_1111_2222_2222, 1, 2, 3, 4])
        .words(AT + 0x40, &[AT])
}

fn at<'k>(kernel: &'k Kernel, structure: &'k str, at: u64) -> Object<'k> {
    Object::at(kernel, structure, VirtAddr(at)).unwrap()
}

#[test]
fn members_are_numbers_with_and_without_sign() {
    let kernel = kernel().build();
    let thing = at(&kernel, "thing", AT);
    for (path, plain, signed) in [
        ("byte", 0xff, -1),
        ("short", 0xfffe, -2),
        ("word", 0x8000_0001, -0x7fff_ffff),
        ("long", u64::MAX - 1, -2),
        ("inner.low", 0x2222_2222, 0x2222_2222),
        ("inner.high", 0x1111_1111, 0x1111_1111),
        ("many[3].low", 4, 4),
    ] {
        assert_eq!((thing.u64(path).unwrap(), thing.i64(path).unwrap()), (plain, signed), "{path}");
    }
    assert_eq!((thing.u32("long").unwrap(), thing.i32("long").unwrap()), (0xffff_fffe, -2));
}

#[test]
fn bits_are_those_of_the_member_alone() {
    let kernel = kernel().words(AT, &[0xffff_fffe_1234_56ad]).build();
    let flags = at(&kernel, "flags", AT);
    let value = |path| (flags.u64(path).unwrap(), flags.i64(path).unwrap());
    // 0xad is 10101 101.
    assert_eq!(
        (value("one"), value("five"), value("rest")),
        ((1, -1), (21, -11), (0x12_3456, 0x12_3456))
    );
}

#[test]
fn texts_end_at_their_nul_or_with_their_member() {
    let kernel = kernel();
    let cut = kernel.clone().bytes(AT + 0x10, b"no end\xff.").build();
    let kernel = kernel.build();
    let thing = at(&kernel, "thing", AT);
    assert_eq!(thing.text("name", 16).unwrap(), "swapper");
    assert_eq!(thing.text("name", 4).unwrap(), "swap");
    assert_eq!(thing.bytes("name").unwrap(), b"swapper\0");
    assert_eq!(at(&cut, "thing", AT).text("name", 16).unwrap(), "no end\u{fffd}.");
}

#[test]
fn what_a_member_points_to_is_an_object_or_an_error() {
    let kernel = kernel().words(AT + 0x60, &[0; 16]).build();
    let thing = at(&kernel, "thing", AT);
    let next = thing.to("next", "thing").unwrap();
    assert_eq!((next.address(), next.u64("byte").unwrap()), (VirtAddr(AT), 0xff));
    let error = at(&kernel, "thing", AT + 0x60).to("next", "thing").unwrap_err();
    assert_eq!(error.to_string(), "thing.next is null");
}

#[test]
fn what_is_no_number_or_no_member_says_so() {
    let kernel = kernel().build();
    let thing = at(&kernel, "thing", AT);
    let said = |path| thing.u64(path).unwrap_err().to_string();
    assert_eq!(said("many"), "thing.many has 32 bytes: it is no number");
    assert_eq!(said("absent"), "thing has no absent");
    assert_eq!(said("many[4].low"), "thing has no many[4].low");
    assert_eq!(
        at(&kernel, "nothing", AT).u64("byte").unwrap_err().to_string(),
        "the kernel has no type nothing"
    );
    assert!(!thing.has("absent") && thing.has("inner.low"));
}

#[test]
fn members_before_the_end_of_memory_are_there_and_others_an_error() {
    let kernel = kernel().words(END - 16, &[0x55, 0x66]).build();
    let thing = at(&kernel, "thing", END - 16);
    assert_eq!((thing.u64("byte").unwrap(), thing.u64("long").unwrap()), (0x55, 0x66));
    let error = thing.text("name", 8).unwrap_err().to_string();
    assert!(error.starts_with("thing.name cannot be read: "), "{error}");
    for nowhere in [0, 0x1000, u64::MAX, u64::MAX - 8] {
        assert!(at(&kernel, "thing", nowhere).u64("long").is_err());
    }
}

#[test]
fn whatever_an_address_and_its_bytes_are_nothing_breaks() {
    let mut noise = Noise(0x1234_5678_9abc_def1);
    let mut kernel = kernel();
    for _ in 0..512 {
        let place = DIRECT + 0x1_0000 + noise.below(0x1000);
        kernel.write(place, &noise.next().to_le_bytes());
    }
    let kernel = kernel.build();
    for _ in 0..500 {
        let address = if noise.below(2) == 0 {
            noise.next()
        } else {
            DIRECT + 0x1_0000 + noise.below(0x1000)
        };
        let thing = at(&kernel, "thing", address);
        for path in ["byte", "long", "many[2].high", "name"] {
            let value = thing.u64(path);
            assert!(value.is_err() || thing.i64(path).is_ok());
        }
        assert!(thing.text("name", 8).is_err() || thing.bytes("name").unwrap().len() == 8);
    }
}

#[test]
fn a_member_in_different_places_of_types_of_one_name_is_reported() {
    let mut kernel = kernel();
    kernel.structure("thing", 96, &[("byte", Number(1), 3), ("word", Number(4), 4)]);
    let kernel = kernel.build();
    let thing = at(&kernel, "thing", AT);
    assert_eq!((thing.u64("byte").unwrap(), thing.u64("word").unwrap()), (0xff, 0x8000_0001));
    assert_eq!(
        kernel.ambiguities(),
        ["2 types are named thing, with byte at different offsets: the first one's (0) was taken"]
    );
}

#[test]
fn types_and_values_of_one_name_that_differ_are_reported() {
    let mut kernel = kernel();
    kernel.structure("thing", 24, &[("byte", Number(1), 0)]);
    kernel.types().enumeration(6, "state", &[("READY", 1), ("GONE", 2)]);
    kernel.types().enumeration(6, "state", &[("READY", 3), ("GONE", 2)]);
    let kernel = kernel.build();
    let types = kernel.types().unwrap();
    let first = types.size("thing").unwrap();
    assert_eq!(
        (types.enumerator("state", "READY"), types.enumerator("state", "GONE")),
        (Ok(1), Ok(2))
    );
    assert_eq!(
        kernel.ambiguities(),
        [
            "2 types of different sizes are named thing: the first one's (".to_owned()
                + &format!("{first}) was taken"),
            "2 values of state are named READY: the first (1) was taken".to_owned(),
        ]
    );
}
