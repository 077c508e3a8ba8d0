//! The names of a table's objects, below its store.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What all names of tables begin with.
pub const INDEX: &str = "index";
/// The rows that are in no part yet.
pub const NEW: &str = "new";
/// The parts.
pub const CRASHES: &str = "crashes";
/// The annotations.
pub const ANNOTATIONS: &str = "annotations";

/// The longest id. Those of entries have 25 characters; one may have been renamed.
const MAX_ID: usize = 128;

/// What a name below [`INDEX`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The row of a crash.
    Row {
        /// Its day.
        day: String,
        /// Its id.
        id: String,
    },
    /// A part.
    Part {
        /// Its day.
        day: String,
    },
    /// An annotation of a crash.
    Annotation {
        /// The id of the crash.
        id: String,
    },
}

/// The day of a time, in UTC.
pub fn day(time: Timestamp) -> String {
    TimeZone::UTC.to_datetime(time).strftime("%Y-%m-%d").to_string()
}

/// The name of a row.
pub fn row(day: &str, id: &str) -> String {
    format!("{INDEX}/{NEW}/day={day}/{id}.json")
}

/// The name of a part.
pub fn part(day: &str, hash: &str) -> String {
    format!("{INDEX}/{CRASHES}/day={day}/part-{hash}.parquet")
}

/// The name of an annotation.
pub fn annotation(day: &str, id: &str, random: &str) -> String {
    format!("{INDEX}/{ANNOTATIONS}/day={day}/{id}.{random}.json")
}

/// What has this name; `None` if it is no part of a table.
pub fn parse(name: &str) -> Option<Named> {
    let mut parts = name.strip_prefix(INDEX)?.strip_prefix('/')?.split('/');
    let (folder, day, file) = (parts.next()?, parts.next()?, parts.next()?);
    let day = day.strip_prefix("day=").filter(|day| is_day(day))?.to_owned();
    let id = |id: &str| is_id(id).then(|| id.to_owned());
    let named = match folder {
        NEW => Named::Row { day, id: id(file.strip_suffix(".json")?)? },
        CRASHES => {
            let hash = file.strip_prefix("part-")?.strip_suffix(".parquet")?;
            is_id(hash).then_some(Named::Part { day })?
        }
        ANNOTATIONS => {
            let (of, _random) = file.strip_suffix(".json")?.rsplit_once('.')?;
            Named::Annotation { id: id(of)? }
        }
        _ => return None,
    };
    parts.next().is_none().then_some(named)
}

/// Whether a text can be the id of an entry: no part of a path, and nothing that a server would
/// change.
pub fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-%~".contains(&byte);
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.')
}

fn is_day(text: &str) -> bool {
    let digit = |at| if at == 4 || at == 7 { b'-'..=b'-' } else { b'0'..=b'9' };
    text.len() == 10 && text.bytes().enumerate().all(|(at, byte)| digit(at).contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_made() {
        let day = day(Timestamp::from_second(1_767_225_600).unwrap());
        assert_eq!(day, "2026-01-01");
        let id = "20260101T000000Z-aaaa0001";
        assert_eq!(parse(&row(&day, id)), Some(Named::Row { day: day.clone(), id: id.to_owned() }));
        assert_eq!(parse(&part(&day, "00ff")), Some(Named::Part { day: day.clone() }));
        let annotated = Some(Named::Annotation { id: id.to_owned() });
        assert_eq!(parse(&annotation(&day, id, "0a")), annotated);
    }

    #[test]
    fn what_else_lies_there_is_no_part_of_a_table() {
        for name in [
            "index/new/day=2026-01-01/.json",
            "index/new/day=2026-01-01/a/b.json",
            "index/new/day=2026-1-01/a.json",
            "index/new/day=../a.json",
            "index/crashes/day=2026-01-01/part-00.parquet.tmp",
            "index/other/day=2026-01-01/a.json",
            "indexes/new/day=2026-01-01/a.json",
            "web/20260101T000000Z-aaaa0001/metadata.json",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
