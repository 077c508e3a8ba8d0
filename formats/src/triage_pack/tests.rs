use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn head(count: u32) -> PackHead {
    let mut head = PackHead {
        core_length: 1 << 33,
        chunks_hash: std::array::from_fn(|at| at as u8),
        tail_length: 700,
        report_frames: count / 2,
        frames: Vec::new(),
    };
    let first = PackHead::length_of(count) + 8 + 700;
    let frame = |number| PackFrame { chunk: count - number, offset: first + 9 * u64::from(number) };
    head.frames = (0..count).map(frame).collect();
    head
}

#[test]
fn a_head_is_read_as_it_was_written() {
    for count in [0, 1, 50, MAX_PACK_FRAMES] {
        let bytes = head(count).encode().unwrap();
        assert_eq!(bytes.len() as u64, PackHead::length_of(count));
        assert_eq!(PackHead::length(&bytes[..16]), Ok(bytes.len() as u64));
        assert_eq!(PackHead::decode(&bytes), Ok(head(count)));
    }
    assert_eq!(head(MAX_PACK_FRAMES + 1).encode(), None);
}

#[test]
fn every_truncation_is_an_error_and_never_a_panic() {
    let bytes = head(3).encode().unwrap();
    for len in 0..bytes.len() {
        assert!(PackHead::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert!(PackHead::decode(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn other_files_are_no_packs() {
    let mut bytes = head(3).encode().unwrap();
    bytes[15] = b'2';
    assert_eq!(PackHead::decode(&bytes), Err(PackError::NoHead));
    assert_eq!(PackHead::length(&[0x28; 16]), Err(PackError::NoHead));
}

#[test]
fn a_count_that_the_head_cannot_hold_allocates_nothing() {
    let mut bytes = head(3).encode().unwrap();
    bytes[64..68].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = PackHead::decode(&bytes).unwrap_err();
    assert!(matches!(error, PackError::TooLarge { field: "number of frames", .. }), "{error}");
    // As does a frame of 4 GiB.
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(PackHead::length(&bytes), Err(PackError::TooLarge { field: "head", .. })));
}

#[test]
fn numbers_that_contradict_each_other_are_errors() {
    let change = |change: fn(&mut PackHead)| {
        let mut head = head(4);
        change(&mut head);
        PackHead::decode(&head.encode().unwrap()).unwrap_err()
    };
    let order = |chunk| PackError::Order { chunk };
    assert_eq!(change(|head| head.frames[0].chunk = head.frames[3].chunk), order(1));
    assert_eq!(change(|head| head.frames[2].offset = head.frames[1].offset), order(2));
    assert_eq!(change(|head| head.frames[0].offset = 0), order(4));
    assert!(matches!(change(|head| head.report_frames = 5), PackError::TooLarge { .. }));
    assert!(matches!(change(|head| head.core_length = 699), PackError::TooLarge { .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200), at in 0_usize..100) {
        let _ = PackHead::decode(&bytes);
        let mut damaged = head(2).encode().unwrap();
        let at = at % damaged.len();
        for (to, from) in damaged[at..].iter_mut().zip(bytes) {
            *to = from;
        }
        if let Ok(head) = PackHead::decode(&damaged) {
            prop_assert_eq!(head.encode().unwrap(), damaged);
        }
    }
}
