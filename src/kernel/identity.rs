//! A kernel's identity: uname, command line, wall clock and uptime, taint, load, HZ, and the
//! machine that it runs on.
//!
//! ```text
//! init_uts_ns.name       uname          saved_command_line   the command line
//! tk_core (or timekeeper_data[0])       wall clock = xtime_sec
//!                                       uptime = wall clock + wall_to_monotonic + offs_boot
//! tainted_mask           taint          avenrun              load, in 2048ths
//! clocksource_jiffies    HZ = 10^9 / (mult >> shift)
//! dmi_ident[]            the machine, by the names of `enum dmi_field`
//! ```
//!
//! What is not known is `None`.

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::taint::{Taint, taints};
use super::types::Object;

/// The longest command line.
const MAX_COMMAND_LINE: usize = 16 << 10;
/// The length of each text of `struct new_utsname`.
const UTS: usize = 65;
const NANOS: u64 = 1_000_000_000;

/// `uname`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of `uname`")]
pub struct Uname {
    pub system: String,
    pub node: String,
    pub release: String,
    pub version: String,
    pub machine: String,
}

/// When a guest stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Its wall clock, in nanoseconds since 1970.
    pub wall_ns: u64,
    /// How long it had been up, in nanoseconds, suspended time included.
    pub uptime_ns: u64,
}

/// A kernel's identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// `uname`.
    pub uname: Option<Uname>,
    /// Its command line.
    pub command_line: Option<String>,
    /// When it stopped.
    pub times: Option<Times>,
    /// The mask of what tainted it.
    pub taint_mask: Option<u64>,
    /// The same, spelled out.
    pub taints: Vec<Taint>,
    /// The load of the last 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// How often its clock ticks in a second.
    pub hz: Option<u64>,
    /// Who made the machine, and what it is: `QEMU Standard PC (i440FX + PIIX, 1996)`.
    pub machine: Option<String>,
    /// What the machine's firmware is.
    pub firmware: Option<String>,
}

impl Identity {
    /// Reads it.
    pub fn of(kernel: &Kernel) -> Self {
        let taint_mask =
            kernel.symbol("tainted_mask").and_then(|at| kernel.space.read_u64(at).ok());
        Self {
            uname: uname(kernel),
            command_line: command_line(kernel),
            times: times(kernel),
            taint_mask,
            taints: taint_mask.map(|mask| taints(kernel, mask)).unwrap_or_default(),
            load: load(kernel),
            hz: hz(kernel),
            machine: dmi(kernel, &["DMI_SYS_VENDOR", "DMI_PRODUCT_NAME"]),
            firmware: dmi(kernel, &["DMI_BIOS_VENDOR", "DMI_BIOS_VERSION"]),
        }
    }
}

fn uname(kernel: &Kernel) -> Option<Uname> {
    let at = kernel.symbol("init_uts_ns")?;
    let by_info = kernel.info.offset("uts_namespace.name");
    let typed = || kernel.types().ok()?.offset("uts_namespace", "name").ok();
    let skip = by_info.or_else(typed)?;
    let text = |index: u64| {
        let at = at.0.checked_add(skip)?.checked_add(index.checked_mul(UTS as u64)?)?;
        Some(kernel.string(VirtAddr(at), UTS))
    };
    let uname = Uname {
        system: text(0)?,
        node: text(1)?,
        release: text(2)?,
        version: text(3)?,
        machine: text(4)?,
    };
    (!uname.release.is_empty()).then_some(uname)
}

fn command_line(kernel: &Kernel) -> Option<String> {
    let at = kernel.space.read_u64(kernel.symbol("saved_command_line")?).ok()?;
    let text = kernel.string(VirtAddr(at), MAX_COMMAND_LINE);
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The timekeeper, which follows a sequence counter.
///
/// Kernels with `struct tk_data` have both in it. In others, the structure of the two has no name,
/// and the counter has more than four bytes with lockdep: `dep_map`, and which lock it is of.
fn keeper(kernel: &Kernel) -> Option<Object<'_>> {
    /// Of a counter alone, with the padding behind it.
    const COUNTER: u64 = 8;
    let types = kernel.types().ok()?;
    let core = kernel.symbol("timekeeper_data").or_else(|| kernel.symbol("tk_core"))?;
    let at = |skip: u64| Object::at(kernel, "timekeeper", VirtAddr(core.0.checked_add(skip)?)).ok();
    if let Ok(skip) = types.offset("tk_data", "timekeeper") {
        return at(skip);
    }
    let counters = ["seqcount_raw_spinlock", "seqcount"].into_iter();
    let counters = counters.filter_map(|name| types.size(name).ok()?.checked_next_multiple_of(8));
    let mut skips: Vec<u64> = counters.chain([COUNTER]).collect();
    skips.dedup();
    let found =
        skips.iter().find_map(|skip| at(*skip).filter(|keeper| is_keeper(keeper) == Some(true)));
    // Inferred layouts do not have what is compared.
    found.or_else(|| at(COUNTER).filter(|keeper| !keeper.has("offs_real")))
}

/// Whether `offs_real` is the negative of `wall_to_monotonic`, as it is in a timekeeper.
fn is_keeper(keeper: &Object<'_>) -> Option<bool> {
    let to_monotonic = to_monotonic(keeper)?;
    Some(to_monotonic != 0 && keeper.i64("offs_real").ok()?.checked_neg()? == to_monotonic)
}

fn to_monotonic(keeper: &Object<'_>) -> Option<i64> {
    let seconds = keeper.i64("wall_to_monotonic.tv_sec").ok()?;
    let nanos = keeper.i64("wall_to_monotonic.tv_nsec").ok()?;
    seconds.checked_mul(i64::try_from(NANOS).ok()?)?.checked_add(nanos)
}

fn times(kernel: &Kernel) -> Option<Times> {
    let keeper = keeper(kernel)?;
    let shift = keeper.u32("tkr_mono.shift").ok()?;
    let nanos = keeper.u64("tkr_mono.xtime_nsec").ok()?.checked_shr(shift)?;
    let wall = keeper.u64("xtime_sec").ok()?.checked_mul(NANOS)?.checked_add(nanos)?;
    let wall = i64::try_from(wall).ok()?;
    let uptime =
        wall.checked_add(to_monotonic(&keeper)?)?.checked_add(keeper.i64("offs_boot").ok()?)?;
    Some(Times { wall_ns: u64::try_from(wall).ok()?, uptime_ns: u64::try_from(uptime).ok()? })
}

fn load(kernel: &Kernel) -> Option<[f64; 3]> {
    /// 1.0 as `avenrun` has it.
    const ONE: f64 = 2048.0;
    let at = kernel.symbol("avenrun")?;
    let mut load = [0.0; 3];
    for (index, load) in (0_u64..).zip(&mut load) {
        let at = at.checked_add(index.checked_mul(8)?)?;
        let value = u32::try_from(kernel.space.read_u64(at).ok()?).ok()?;
        *load = f64::from(value) / ONE;
    }
    Some(load)
}

/// Ticks per second.
pub fn hz(kernel: &Kernel) -> Option<u64> {
    let clock = Object::at(kernel, "clocksource", kernel.symbol("clocksource_jiffies")?).ok()?;
    let (mult, shift) = (clock.u64("mult").ok()?, clock.u32("shift").ok()?);
    let tick = mult.checked_shr(shift).filter(|tick| *tick > 0)?;
    // A tick is rounded to nanoseconds.
    Some(NANOS.checked_add(tick / 2)? / tick)
}

fn dmi(kernel: &Kernel, fields: &[&str]) -> Option<String> {
    let types = kernel.types().ok()?;
    let table = kernel.symbol("dmi_ident")?;
    let text = |name: &&str| {
        let index = u64::try_from(types.enumerator("dmi_field", name).ok()?).ok()?;
        let at = table.checked_add(index.checked_mul(8)?)?;
        let at = kernel.space.read_u64(at).ok().filter(|at| *at != 0)?;
        Some(kernel.string(VirtAddr(at), 128).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let words: Vec<_> = fields.iter().filter_map(text).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::test_kernel::Member::{Number, Of};
    use crate::kernel::test_kernel::{DIRECT, TestKernel};

    const CORE: u64 = DIRECT + 0x8000;
    const WALL: u64 = 1_700_000_000;
    const UP: u64 = 90;

    /// A timekeeper that begins at this offset of `tk_core`, in a kernel with these counters.
    fn kernel(counters: &[(&str, u32)], at: u64) -> Kernel {
        let mut kernel = TestKernel::new();
        for (name, size) in counters {
            kernel.structure(name, *size, &[("sequence", Number(4), 0)]);
        }
        let time = [("tv_sec", Number(8), 0), ("tv_nsec", Number(8), 8)];
        let time = kernel.structure("timespec64", 16, &time);
        let base = [("shift", Number(4), 0), ("xtime_nsec", Number(8), 8)];
        let base = kernel.structure("tk_read_base", 16, &base);
        let members = [
            ("tkr_mono", Of(base), 0),
            ("xtime_sec", Number(8), 16),
            ("wall_to_monotonic", Of(time), 24),
            ("offs_real", Number(8), 40),
            ("offs_boot", Number(8), 48),
        ];
        kernel.structure("timekeeper", 56, &members);
        let real = (WALL - UP) * NANOS;
        kernel
            .symbol("tk_core", CORE)
            .words(CORE + at, &[0, 0, WALL, 0_u64.wrapping_sub(WALL - UP), 0, real, 0])
            .build()
    }

    #[test]
    fn uptime_is_known_on_kernels_with_lockdep() {
        let expected = Times { wall_ns: WALL * NANOS, uptime_ns: UP * NANOS };
        for (counters, at) in [
            (&[("seqcount", 4), ("seqcount_raw_spinlock", 4)][..], 8),
            // With lockdep: a counter with its lock, then one without.
            (&[("seqcount", 56), ("seqcount_raw_spinlock", 64)], 64),
            (&[("seqcount", 56), ("seqcount_raw_spinlock", 64)], 56),
            (&[("seqcount", 4)], 8),
        ] {
            assert_eq!(times(&kernel(counters, at)), Some(expected), "{counters:?} {at}");
        }
    }
}
