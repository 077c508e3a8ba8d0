//! Where a list is divided.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub(super) type Time = Timestamp;

/// How a time is written in front of a name.
const FORMAT: &str = "%Y%m%dT%H%M%S";
const LENGTH: usize = 15;

/// The time that a name begins with.
pub(super) fn time(name: &str) -> Option<Time> {
    let time = DateTime::strptime(FORMAT, name.get(..LENGTH)?).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

/// The beginning of the names of a time.
pub(super) fn name(time: Time) -> String {
    TimeZone::UTC.to_datetime(time).strftime(FORMAT).to_string()
}

/// Beginnings of names between `last` and `end`, or now: `most` at the most, and fewer if as many
/// pages are not expected, after one from `first` to `last`.
pub(super) fn times(first: Time, last: Time, end: Option<Time>, most: usize) -> Vec<String> {
    let end = end.unwrap_or_else(Timestamp::now);
    let left = u64::try_from(end.duration_since(last).as_secs()).unwrap_or_default();
    let passed = u64::try_from(last.duration_since(first).as_secs()).unwrap_or_default();
    let expected = left.checked_div(passed).unwrap_or(left);
    let parts = expected.min(most as u64).saturating_add(1);
    let start = |part: u64| {
        let seconds = u128::from(left).saturating_mul(part.into()).checked_div(parts.into())?;
        let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
        let time = last.checked_add(SignedDuration::from_secs(seconds)).ok()?;
        Some(name(time))
    };
    let mut starts: Vec<String> = (1..parts).filter_map(start).collect();
    starts.dedup();
    starts
}

/// Beginnings of sorted names, so that each name that is wanted has one of them and no other name
/// has, and so that each is of `most` names at the most: of one, if it ends with the slash that
/// names have at their end. All names have `known` bytes at their beginning alike.
pub(super) fn letters<'a>(names: &[(&'a str, bool)], known: usize, most: usize) -> Vec<&'a str> {
    let mut found = Vec::new();
    // Names, and how many bytes at their beginning are alike.
    let mut waiting = vec![(names, known)];
    while let Some((mut names, alike)) = waiting.pop() {
        while let Some(((first, _), _)) = names.split_first() {
            let letter = first.get(alike..).and_then(|rest| rest.chars().next());
            let Some(letter) = letter else { break };
            let alike = alike.saturating_add(letter.len_utf8());
            let start = first.get(..alike).unwrap_or_default();
            let (of_it, rest) =
                names.split_at(names.partition_point(|(name, _)| name.starts_with(start)).max(1));
            names = rest;
            match of_it {
                [(name, wanted)] => found.extend(wanted.then_some(*name)),
                _ if of_it.len() <= most && of_it.iter().all(|(_, wanted)| *wanted) => {
                    found.push(start);
                }
                _ => waiting.push((of_it, alike)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        time(text).unwrap()
    }

    #[test]
    fn time_is_divided_into_as_many_parts_as_pages_are_expected() {
        let (first, last) = (at("20260101T000000"), at("20260102T000000"));
        let end = Some(at("20260106T000000"));
        let starts = times(first, last, end, 9);
        assert_eq!(starts.len(), 4, "{starts:?}");
        assert_eq!(times(first, last, end, 1), ["20260104T000000"]);
        assert_eq!(times(first, last, Some(last), 9), [""; 0]);
        assert_eq!(times(last, first, end, 9).len(), 9);
        let soon = Some(at("20260102T000001"));
        assert_eq!(times(last, last, soon, 9), [""; 0]);
    }

    #[test]
    fn each_wanted_name_has_one_beginning_and_no_other_name_has() {
        let all = ["a/", "b/", "web/", "web-1/", "web-2/", "web-20/", "web-3/", "wéb/"];
        for most in 1..5 {
            for unwanted in 0..all.len() {
                let mut names: Vec<_> =
                    all.iter().enumerate().map(|(at, name)| (*name, at != unwanted)).collect();
                names.sort_unstable();
                let starts = letters(&names, 0, most);
                for (name, wanted) in &names {
                    let count = starts.iter().filter(|start| name.starts_with(**start)).count();
                    assert_eq!(count, usize::from(*wanted), "{name} {most} {starts:?}");
                }
            }
        }
    }
}
