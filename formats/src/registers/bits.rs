//! Named bits and bit fields.

/// The names of the bits that are set, from the lowest on.
pub(super) fn named(value: u64, names: &[(u32, &str)]) -> Vec<String> {
    let set = names.iter().filter(|(bit, _)| field(value, *bit, 1) == 1);
    set.map(|(_, name)| (*name).to_owned()).collect()
}

/// `width` bits of `value`, from bit `low` on.
pub(super) fn field(value: u64, low: u32, width: u32) -> u64 {
    let mask = 1_u64.checked_shl(width).map_or(u64::MAX, |end| end.wrapping_sub(1));
    value.checked_shr(low).unwrap_or(0) & mask
}
