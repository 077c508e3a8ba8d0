//! Time arguments: `2026-11-24`, `2026-11-24T10:00:00Z`, `2h`.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::units::parse::duration;

/// Reads a point in time: a timestamp with its offset, a date or a date and time of
/// this machine's time zone, or how long ago it was.
pub(super) fn time_argument(text: &str) -> Result<Timestamp, String> {
    if let Ok(timestamp) = text.parse() {
        return Ok(timestamp);
    }
    let date = || text.parse::<Date>().map(|date| date.to_datetime(Time::midnight()));
    if let Ok(local) = text.parse::<DateTime>().or_else(|_| date()) {
        return TimeZone::system().to_timestamp(local).map_err(|error| error.to_string());
    }
    let unknown = || format!("{text:?} is not a time, a date or a duration such as 2h or 7d");
    let ago = match text.strip_suffix('d') {
        Some(days) => duration(&format!("{days}h")).map(|hours| hours.saturating_mul(24)),
        None => duration(text),
    };
    let ago = SignedDuration::try_from(ago.map_err(|_| unknown())?).map_err(|_| unknown())?;
    Timestamp::now().checked_sub(ago).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dates_and_durations_are_read() {
        assert_eq!(
            time_argument("2026-11-24T10:00:00Z").unwrap().to_string(),
            "2026-11-24T10:00:00Z"
        );
        assert!(time_argument("2026-11-24").is_ok());
        assert!(time_argument("2026-11-24 10:00").is_ok());
        for (text, seconds) in [("1h", 3600), ("7d", 604_800)] {
            let then = time_argument(text).unwrap();
            let ago = Timestamp::now().duration_since(then).as_secs();
            assert!((seconds..seconds + 100).contains(&ago), "{text} is {ago}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "yesterday", "2026-13-01", "-1h", "1w"] {
            assert!(time_argument(text).is_err(), "{text}");
        }
    }
}
