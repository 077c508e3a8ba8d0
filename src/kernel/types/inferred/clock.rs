//! `struct timekeeper`, and the clock source of ticks.
//!
//! ```text
//! timekeeper   0 clock*  24 mult  28 shift  32 xtime_nsec  ..
//!              x xtime_sec, ktime_sec, wall_to_monotonic {sec, nsec}, offs_real, offs_boot
//! clocksource  0 read*   8 mask   16 mult   20 shift
//! ```
//!
//! `offs_real` is `-wall_to_monotonic` to the nanosecond, and `ktime_sec` the whole seconds of
//! the sum of `xtime_sec` and `wall_to_monotonic`: no other offset has both. Source: Linux
//! `include/linux/timekeeper_internal.h`.

use super::layouts::Layouts;
use super::samples::{Sample, offsets, only};
use crate::kernel::Kernel;

const KEEPER: &str = "timekeeper";
const CLOCK: &str = "clocksource";
/// `xtime_sec` is in the first part of it; a copy of the whole may be behind it.
const LENGTH: u64 = 192;
/// The sequence counter before it.
const COUNTER: u64 = 8;
const NANOS: i64 = 1_000_000_000;
/// When a guest may run, in seconds since 1970: 2001 to 2100.
const WHEN: std::ops::Range<u64> = 1_000_000_000..4_102_444_800;

pub(super) fn infer(kernel: &Kernel, layouts: &mut Layouts) {
    keeper(kernel, layouts);
    clock(kernel, layouts);
    name(kernel, layouts);
}

fn keeper(kernel: &Kernel, layouts: &mut Layouts) {
    let symbol = kernel.symbol("timekeeper_data").or_else(|| kernel.symbol("tk_core"));
    let Some(symbol) = symbol else { return };
    let at = symbol.wrapping_add(COUNTER);
    let keeper = Sample::read(&kernel.space, at, LENGTH);
    let Some(time) = layouts.take(KEEPER, "xtime_sec", 8, only(&seconds(&keeper))) else { return };
    layouts.know(KEEPER, "wall_to_monotonic.tv_sec", time.saturating_add(16), 8);
    layouts.know(KEEPER, "wall_to_monotonic.tv_nsec", time.saturating_add(24), 8);
    layouts.know(KEEPER, "offs_boot", time.saturating_add(40), 8);
    let reads = || {
        let (mult, shift) = (keeper.half(24)?, keeper.half(28)?);
        let nanos = keeper.word(32)?.checked_shr(shift)?;
        let nanos = i64::try_from(nanos).ok()?;
        // Up to a second, and what has not been carried over yet.
        Some(keeper.pointer(0).is_some() && mult > 0 && shift <= 32 && nanos < 2 * NANOS)
    };
    if reads() == Some(true) {
        layouts.know(KEEPER, "tkr_mono.shift", 28, 4);
        layouts.know(KEEPER, "tkr_mono.xtime_nsec", 32, 8);
    }
}

/// Where seconds since 1970 are followed by all that hangs on them.
fn seconds(keeper: &Sample) -> Vec<u64> {
    let is_time = |offset: u64| {
        let word = |index: u64| keeper.word(offset.saturating_add(index.saturating_mul(8)));
        let signed = |index| word(index).map(u64::cast_signed);
        let wall = word(0).filter(|wall| WHEN.contains(wall))?.cast_signed();
        let (seconds, nanos) = (signed(2)?, signed(3).filter(|nanos| (0..NANOS).contains(nanos))?);
        let to_monotonic = seconds.checked_mul(NANOS)?.checked_add(nanos)?;
        let up = wall.checked_add(seconds)?;
        let boot = signed(5)?;
        let fits = signed(4)? == to_monotonic.checked_neg()? && boot >= 0;
        Some(fits && (up..=up.saturating_add(1)).contains(&signed(1)?))
    };
    offsets(0..keeper.length(), 8, |offset| is_time(offset) == Some(true))
}

fn clock(kernel: &Kernel, layouts: &mut Layouts) {
    /// The clock of ticks counts 32 bits.
    const MASK: u64 = 0xffff_ffff;
    let Some(at) = kernel.symbol("clocksource_jiffies") else { return };
    let clock = Sample::read(&kernel.space, at, 32);
    let ticks = || {
        let tick = u64::from(clock.half(16)?).checked_shr(clock.half(20)?)?;
        // 24 to 1200 of them in a second.
        Some(clock.word(8)? == MASK && (800_000..42_000_000).contains(&tick))
    };
    if ticks() == Some(true) {
        layouts.know(CLOCK, "mult", 16, 4);
        layouts.know(CLOCK, "shift", 20, 4);
    }
}

/// `uts_namespace.name` begins with the system's name.
fn name(kernel: &Kernel, layouts: &mut Layouts) {
    let Some(at) = kernel.symbol("init_uts_ns") else { return };
    let space = Sample::read(&kernel.space, at, 64);
    let found = offsets(0..16, 4, |offset| space.text(offset, 16) == Some(b"Linux"));
    layouts.take("uts_namespace", "name", 390, only(&found));
}
