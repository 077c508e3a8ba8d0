//! Look-up of symbols by name.
//!
//! ```text
//! heads[hash of the name] ──► symbol ──next──► symbol ──next──► none
//! ```
//!
//! It is made in one pass over the packed names: the hash of a name is computed from the
//! hashes of its tokens, without expanding it. Names are compared at look-up.

use super::names::Names;
use super::tokens::hash_of;

/// The most symbols of a chain that are compared. Chains are short, but a hostile guest can
/// put all names into one.
const MAX_CHAIN: usize = 4096;
const NONE: u32 = u32::MAX;
const HEADS_BITS: u32 = 16;

/// Chains of symbols whose names have the same hash.
#[derive(Clone, Debug)]
pub struct NameIndex {
    heads: Vec<u32>,
    next: Vec<u32>,
}

impl NameIndex {
    /// The index of all names.
    pub fn new(names: &Names) -> Self {
        let mut heads = vec![NONE; 1 << HEADS_BITS];
        let mut next = Vec::with_capacity(usize::try_from(names.count()).unwrap_or_default());
        for (packed, index) in names.all_packed().zip(0_u32..) {
            match heads.get_mut(slot(names.tokens().hash(packed))) {
                Some(head) => next.push(std::mem::replace(head, index)),
                None => next.push(NONE),
            }
        }
        Self { heads, next }
    }

    /// All symbols with this name, in ascending order. At most a few thousand.
    pub fn all(&self, names: &Names, name: &str) -> Vec<u32> {
        let mut found = Vec::new();
        let mut at = self.heads.get(slot(hash_of(name.as_bytes()))).copied().unwrap_or(NONE);
        for _ in 0..MAX_CHAIN {
            if at == NONE {
                break;
            }
            if names.is(at, name) {
                found.push(at);
            }
            let next = usize::try_from(at).ok().and_then(|at| self.next.get(at));
            at = next.copied().unwrap_or(NONE);
        }
        found.reverse();
        found
    }
}

fn slot(hash: u64) -> usize {
    // Sums of few letters differ in some bits only.
    let mixed = (hash ^ hash >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
    usize::try_from(mixed.checked_shr(64 - HEADS_BITS).unwrap_or_default()).unwrap_or_default()
}
