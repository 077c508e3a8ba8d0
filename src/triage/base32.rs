//! Base 32, for signatures.

/// The first letters of RFC 4648's base 32, in lower case.
pub(super) fn base32(bytes: &[u8], letters: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (mut bits, mut count, mut out) = (0_u32, 0, String::with_capacity(letters));
    for byte in bytes {
        bits = (bits << 8 | u32::from(*byte)) & 0xffff;
        count += 8;
        while count >= 5 && out.len() < letters {
            count -= 5;
            let letter = LETTERS.get((bits >> count & 31) as usize).copied().unwrap_or(b'a');
            out.push(char::from(letter));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_rfc_4648() {
        // Without the letter that padding would complete.
        assert_eq!(base32(b"foobar", 16), "mzxw6ytbo");
        assert_eq!(base32(b"foobar", 4), "mzxw");
    }
}
