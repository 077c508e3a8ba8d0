//! Signatures: what the same crash has in common everywhere.
//!
//! ```text
//! id       v1- base32(sha256(system 0 class 0 function [0 first function below panic()]))[..16]
//! variant  hex(sha256(id 0 top five functions))[..12]
//! ```
//!
//! Needs: a title's parts. Gives: the two. Versions, addresses, offsets, modules, taint and
//! task names are part of neither: they differ from build to build and boot to boot.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::triage::base32::base32;

/// How many functions make a variant.
pub(crate) const VARIANT_FRAMES: usize = 5;

/// What the same crash has in common everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// The same for the same bug: `v1-` and 16 letters and digits.
    pub id: String,
    /// The same for the same call path to it.
    pub variant: String,
    /// Too little is known to take two crashes with it for the same.
    pub weak: bool,
    /// Nothing is known that tells the crash from others of its class: it is in no bucket.
    #[serde(skip)]
    pub of_class_only: bool,
}

impl Signature {
    /// The id, if it tells crashes of one class apart.
    pub fn bucket(&self) -> Option<&str> {
        (!self.of_class_only).then_some(self.id.as_str())
    }

    /// The signature of a class, what it is about, and the functions on the stack.
    pub(crate) fn of(
        version: &str,
        class: &str,
        about: &[&str],
        stack: &[&str],
        weak: bool,
    ) -> Self {
        let mut id_hash = Sha256::new();
        id_hash.update(b"linux");
        for part in std::iter::once(class).chain(about.iter().copied()) {
            id_hash.update([0]);
            id_hash.update(part.as_bytes());
        }
        let id = format!("v{version}-{}", base32(&id_hash.finalize(), 16));
        let mut variant_hash = Sha256::new();
        variant_hash.update(id.as_bytes());
        for function in stack.iter().take(VARIANT_FRAMES) {
            variant_hash.update([0]);
            variant_hash.update(function.as_bytes());
        }
        let variant = variant_hash.finalize();
        let variant = variant.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { id, variant, weak, of_class_only: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_signature_is_made_of_changes_it_and_nothing_else_does() {
        let of =
            |class, about: &[&str], stack: &[&str]| Signature::of("1", class, about, stack, false);
        let one = of("kernel BUG", &["f"], &["f", "g"]);
        assert!(one.id.starts_with("v1-") && one.id.len() == 19);
        assert_eq!(one.id, of("kernel BUG", &["f"], &["f", "h"]).id);
        assert_ne!(one.variant, of("kernel BUG", &["f"], &["f", "h"]).variant);
        assert_ne!(one.id, of("kernel BUG", &["g"], &["f", "g"]).id);
        assert_ne!(one.id, of("WARNING", &["f"], &["f", "g"]).id);
    }
}
