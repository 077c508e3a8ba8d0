//! Sizes, durations and shares as people read them; [`parse`] reads what they type.

pub mod parse;

use std::time::Duration;

/// Bytes in the largest unit that leaves a whole number in front: `77.10 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut scaled = count as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while scaled >= 1024.0 {
        scaled /= 1024.0;
        unit = units.next();
    }
    format!("{scaled:.2} {}", unit.copied().unwrap_or_default())
}

/// Seconds with the digits that matter: `612.4 ms`, `4.09 s`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}

/// A duration, like [`seconds`].
pub fn duration(duration: Duration) -> String {
    seconds(duration.as_secs_f64())
}

/// A long time in its two largest units: `2 d 7 h`.
pub fn span(seconds: f64) -> String {
    // Negative and other invalid values become zero.
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// A part of a whole, as a percentage: `15.0 %`.
pub fn percent(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (4 << 30, "4.00 GiB"),
            (u64::MAX, "16.00 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn durations_have_the_digits_that_matter() {
        assert_eq!(duration(Duration::from_nanos(934)), "0.0 ms");
        assert_eq!((seconds(0.6124), seconds(4.094)), ("612.4 ms".into(), "4.09 s".into()));
    }

    #[test]
    fn spans_have_the_units_that_matter() {
        for (seconds, text) in [
            (0.25, "0.2 s"),
            (61.9, "1 min 1 s"),
            (7_260.0, "2 h 1 min"),
            (200_000.0, "2 d 7 h"),
            (f64::NAN, "NaN s"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_share_of_nothing_is_no_division_by_zero() {
        assert_eq!((percent(1, 3), percent(1, 0)), ("33.3 %".into(), "100.0 %".into()));
    }
}
