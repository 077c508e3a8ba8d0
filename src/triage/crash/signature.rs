//! Signatures: what makes two crashes the same.
//!
//! ```text
//! bucket   v1- base32(sha256(system 0 class 0 function [0 first function below panic()]))[..16]
//! variant  hex(sha256(bucket 0 top five functions))[..12]
//! ```
//!
//! Needs: a title's parts. Gives: the two. Versions, addresses, offsets, modules, taint and
//! names of tasks are no part of either: they differ from build to build and boot to boot.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// How many functions a variant is made of.
pub(crate) const VARIANT_FRAMES: usize = 5;

/// What makes two crashes the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// The same for the same bug: `v1-` and 16 letters and digits.
    pub bucket: String,
    /// The same for the same way to it.
    pub variant: String,
    /// Too little is known for the bucket to be trusted.
    pub weak: bool,
}

impl Signature {
    /// Makes it from a class, what it is about, and the functions on the stack.
    pub(crate) fn of(
        version: &str,
        class: &str,
        about: &[&str],
        stack: &[&str],
        weak: bool,
    ) -> Self {
        let mut bucket_hash = Sha256::new();
        bucket_hash.update(b"linux");
        for part in std::iter::once(class).chain(about.iter().copied()) {
            bucket_hash.update([0]);
            bucket_hash.update(part.as_bytes());
        }
        let bucket = format!("v{version}-{}", base32(&bucket_hash.finalize(), 16));
        let mut variant_hash = Sha256::new();
        variant_hash.update(bucket.as_bytes());
        for function in stack.iter().take(VARIANT_FRAMES) {
            variant_hash.update([0]);
            variant_hash.update(function.as_bytes());
        }
        let variant = variant_hash.finalize();
        let variant = variant.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { bucket, variant, weak }
    }
}

/// RFC 4648, in small letters, so many of them.
fn base32(bytes: &[u8], letters: usize) -> String {
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

    #[test]
    fn what_a_bucket_is_made_of_changes_it_and_nothing_else_does() {
        let of =
            |class, about: &[&str], stack: &[&str]| Signature::of("1", class, about, stack, false);
        let one = of("kernel BUG", &["f"], &["f", "g"]);
        assert!(one.bucket.starts_with("v1-") && one.bucket.len() == 19);
        assert_eq!(one.bucket, of("kernel BUG", &["f"], &["f", "h"]).bucket);
        assert_ne!(one.variant, of("kernel BUG", &["f"], &["f", "h"]).variant);
        assert_ne!(one.bucket, of("kernel BUG", &["g"], &["f", "g"]).bucket);
        assert_ne!(one.bucket, of("WARNING", &["f"], &["f", "g"]).bucket);
    }
}
