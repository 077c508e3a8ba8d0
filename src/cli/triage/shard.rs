//! A part of all crashes, which the hash of an id decides.

use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The most shards there are.
const MAX_SHARDS: u64 = 1 << 20;

/// One of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    number: u64,
    of: u64,
}

impl Shard {
    /// Whether the crash of this id is in it.
    pub(super) fn has(self, id: &str) -> bool {
        let hash = Sha256::digest(id.as_bytes());
        let hash = hash.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
        hash.checked_rem(self.of) == Some(self.number)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("a shard is I/N, with I from 0 to N-1 and N up to {MAX_SHARDS}");
        let (number, of) = text.split_once('/').ok_or_else(wanted)?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let parse =
            |text: &str| text.parse::<u64>().ok().filter(|_| digits(text)).ok_or_else(wanted);
        let (number, of) = (parse(number)?, parse(of)?);
        let valid = number < of && of <= MAX_SHARDS;
        valid.then_some(Self { number, of }).ok_or_else(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crash_is_in_one_shard_and_shards_are_alike() {
        let shards: Vec<Shard> = (0..4).map(|i| format!("{i}/4").parse().unwrap()).collect();
        let mut counts = [0; 4];
        for number in 0..4000 {
            let id = format!("20260101T000000Z-{number:08x}");
            let has: Vec<_> = (0..4).filter(|i| shards[*i].has(&id)).collect();
            assert_eq!(has.len(), 1);
            counts[has[0]] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        // By Python: int.from_bytes(sha256(id).digest()[:8], "big") % 4. It never changes.
        assert!(shards[1].has("20260101T000000Z-aaaa0001"));
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in ["", "1", "4/4", "0/0", "-1/4", "+1/4", "1/4/2", "0/9999999999", "a/b"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
