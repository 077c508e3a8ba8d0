//! A chunk as a zstd frame that is not compressed.
//!
//! ```text
//! 0   magic     u32   0xfd2fb528
//! 4   header    u8    single segment, checksum, size of the content in 4 bytes
//! 5   size      u32
//! 9   blocks          a header of 3 bytes each: last, type 0 (raw), size << 3; then the bytes
//!     checksum  u32   low bits of XXH64 of the content
//! ```

use xxhash_rust::xxh64::xxh64;

/// The longest block that the format allows.
const BLOCK: usize = 128 << 10;
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// `Frame_Content_Size_flag` 2, `Single_Segment_flag`, `Content_Checksum_flag`.
const DESCRIPTOR: u8 = 0b1010_0100;
const HEADER: usize = 9;
const BLOCK_HEADER: usize = 3;
const CHECKSUM: usize = 4;

/// How long the frame of `length` bytes is.
pub(super) fn length_of(length: usize) -> usize {
    let blocks = length.div_ceil(BLOCK).max(1);
    length.saturating_add(HEADER + CHECKSUM).saturating_add(blocks.saturating_mul(BLOCK_HEADER))
}

/// Makes a frame of the first `length` bytes of `buffer`, in place, and gives its length;
/// `None` if the buffer has no room for it.
pub(super) fn wrap(buffer: &mut [u8], length: usize) -> Option<usize> {
    let size = u32::try_from(length).ok()?;
    let total = length_of(length);
    let frame = buffer.get_mut(..total)?;
    let checksum = xxh64(frame.get(..length)?, 0).to_le_bytes();
    let blocks = length.div_ceil(BLOCK).max(1);
    // From the last one on, each moves past where the ones before it will be.
    for number in (0..blocks).rev() {
        let from = number.checked_mul(BLOCK)?;
        let end = from.checked_add(BLOCK)?.min(length);
        let at = HEADER.checked_add(number.checked_add(1)?.checked_mul(BLOCK_HEADER)?)?;
        let to = from.checked_add(at)?;
        frame.copy_within(from..end, to);
        let last = u32::from(number.checked_add(1)? == blocks);
        let header = (u32::try_from(end.checked_sub(from)?).ok()? << 3 | last).to_le_bytes();
        let place = frame.get_mut(to.checked_sub(BLOCK_HEADER)?..to)?;
        place.copy_from_slice(header.get(..BLOCK_HEADER)?);
    }
    frame.get_mut(..4)?.copy_from_slice(&MAGIC);
    *frame.get_mut(4)? = DESCRIPTOR;
    frame.get_mut(5..HEADER)?.copy_from_slice(&size.to_le_bytes());
    let tail = frame.get_mut(total.checked_sub(CHECKSUM)?..)?;
    tail.copy_from_slice(checksum.get(..CHECKSUM)?);
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zstd_unpacks_what_was_wrapped_and_checks_it() {
        for length in [0, 1, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 77, 1 << 20] {
            let content: Vec<u8> = (0..length).map(|at| ((at * 7) >> 3) as u8).collect();
            let mut buffer = content.clone();
            buffer.resize(zstd::zstd_safe::compress_bound(1 << 20), 0xee);
            let size = wrap(&mut buffer, length).unwrap();
            assert_eq!(size, length_of(length));
            let frame = &mut buffer[..size];
            assert_eq!(zstd::decode_all(&*frame).unwrap(), content, "{length} bytes");
            assert_eq!(zstd::zstd_safe::find_frame_compressed_size(frame).unwrap(), size);
            assert_eq!(
                zstd::zstd_safe::get_frame_content_size(frame).unwrap(),
                Some(length as u64)
            );
            if let Some(byte) = frame.get_mut(12).filter(|_| length > 0) {
                *byte ^= 1;
                assert!(zstd::decode_all(&*frame).is_err(), "damage is found");
            }
        }
    }

    #[test]
    fn a_buffer_without_room_is_refused() {
        assert_eq!(wrap(&mut [0; 4096], 4096), None);
        assert_eq!(wrap(&mut [0; 10], 0), None);
    }
}
