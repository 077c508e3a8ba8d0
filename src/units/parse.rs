//! Durations, sizes and addresses as they are typed: `90s`, `1.5m`, `2GiB`.

use std::time::Duration;

/// Reads a duration: a number with `ms`, `s`, `m`, `h` or `d`; seconds without.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("unknown unit {unit:?}; ms, s, m, h and d are known")),
    };
    Duration::try_from_secs_f64(number * scale).map_err(|error| error.to_string())
}

/// Reads a duration that is not zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|value| {
        if value.is_zero() { Err("it must be more than zero".to_owned()) } else { Ok(value) }
    })
}

/// Reads a size: a number with `K`, `M`, `G`, `T` or `KiB`, ... (powers of 1024),
/// or `KB`, ... (powers of 1000); bytes without.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let unknown = || format!("unknown unit {unit:?}; K, M, G, T, KiB, MB, ... are known");
    let lower = unit.to_ascii_lowercase();
    let (letter, base) = match lower.strip_suffix("ib") {
        Some(letter) => (letter, 1024_f64),
        None => match lower.strip_suffix('b') {
            Some(letter) => (letter, 1000.0),
            None => (lower.as_str(), 1024.0),
        },
    };
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(unknown()),
    };
    let bytes = number * base.powi(power);
    if bytes >= 9e18 {
        return Err("it is too large".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(bytes as u64)
}

/// Reads an address: hexadecimal, with or without `0x`.
pub fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    hexadecimal(digits).ok_or_else(|| format!("{text:?} is no address in hexadecimal"))
}

/// Reads how many bytes: a size like [`size`], or hexadecimal with `0x`.
pub fn length(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => {
            hexadecimal(digits).ok_or_else(|| format!("{text:?} is no number in hexadecimal"))
        }
        None => size(text),
    }
}

/// Digits alone: a sign is none.
fn hexadecimal(digits: &str) -> Option<u64> {
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if all { u64::from_str_radix(digits, 16).ok() } else { None }
}

fn split(text: &str) -> Result<(f64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    let number = number.parse().map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_their_units() {
        for (text, millis) in [
            ("90s", 90_000),
            ("250ms", 250),
            ("1.5m", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("7", 7000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1 fortnight", "1e3s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive_duration("0s").is_err());
    }

    #[test]
    fn addresses_are_hexadecimal_and_lengths_if_they_say_so() {
        assert_eq!(address("ffffffff81000000"), Ok(0xffff_ffff_8100_0000));
        assert_eq!((address("0x10"), address("10")), (Ok(16), Ok(16)));
        assert_eq!((length("0x10"), length("10"), length("1K")), (Ok(16), Ok(10), Ok(1024)));
        for text in ["", "0x", "+1", "-1", "0x1g", "10000000000000000", "ffffffff81000000h"] {
            assert!(address(text).is_err(), "{text}");
        }
        assert!(length("0x").is_err() && length("").is_err());
    }

    #[test]
    fn sizes_are_read_in_their_units() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("1K", 1024), ("2GiB", 2 << 30), ("1.5 MB", 1_500_000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "1X", "1e9", "99999999T"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
