//! What has tainted a kernel, or which of its modules has.
//!
//! A bit of the mask is a reason, and has a letter, which the kernel itself keeps in
//! `taint_flags`: distributions have had letters of their own. Where that table cannot be
//! read, the letters are those of Linux, whose bits have never changed their meaning.

use super::Kernel;

/// Letters and reasons, by bit. Source: Linux `Documentation/admin-guide/tainted-kernels.rst`.
const KNOWN: [(char, &str); 20] = [
    ('P', "proprietary module was loaded"),
    ('F', "module was force loaded"),
    ('S', "kernel running on an out of specification system"),
    ('R', "module was force unloaded"),
    ('M', "processor reported a machine check exception"),
    ('B', "bad page referenced or some unexpected page flags"),
    ('U', "taint requested by userspace application"),
    ('D', "kernel died recently: there was an oops or a bug"),
    ('A', "ACPI table overridden by user"),
    ('W', "kernel issued a warning"),
    ('C', "staging driver was loaded"),
    ('I', "workaround for a bug in platform firmware applied"),
    ('O', "externally built (out-of-tree) module was loaded"),
    ('E', "unsigned module was loaded"),
    ('L', "soft lockup occurred"),
    ('K', "kernel has been live patched"),
    ('X', "auxiliary taint, defined by the distribution"),
    ('T', "kernel was built with the struct randomization plugin"),
    ('N', "an in-kernel test has been run"),
    ('J', "userspace used a mutating debug operation in fwctl"),
];

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// The bit.
    pub bit: u32,
    /// Its letter.
    pub letter: char,
    /// What it means, in words.
    pub meaning: &'static str,
}

/// The reasons in a mask.
pub fn taints(kernel: &Kernel, mask: u64) -> Vec<Taint> {
    (0..u64::BITS)
        .filter(|bit| mask.wrapping_shr(*bit) & 1 == 1)
        .map(|bit| {
            let known = usize::try_from(bit).ok().and_then(|bit| KNOWN.get(bit)).copied();
            let (letter, meaning) = known.unwrap_or(('?', "a reason that is not known here"));
            Taint { bit, letter: kernels_letter(kernel, bit).unwrap_or(letter), meaning }
        })
        .collect()
}

/// Their letters alone.
pub fn letters(kernel: &Kernel, mask: u64) -> String {
    taints(kernel, mask).iter().map(|taint| taint.letter).collect()
}

/// The letter that the kernel itself has for a bit.
fn kernels_letter(kernel: &Kernel, bit: u32) -> Option<char> {
    let types = kernel.types().ok()?;
    let size = types.size("taint_flag").ok()?;
    let skip = size.checked_mul(bit.into())?;
    let skip = skip.checked_add(types.offset("taint_flag", "c_true").ok()?)?;
    let at = kernel.symbol("taint_flags")?;
    let mut letter = [0];
    kernel.space.read(at.checked_add(skip)?, &mut letter).ok()?;
    let letter = char::from(letter.first().copied()?);
    letter.is_ascii_uppercase().then_some(letter)
}
