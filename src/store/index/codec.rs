//! Numbers and texts of a record. Decoding gives `None` for what is not whole.

use jiff::Timestamp;
use vmcore_formats::cursor::Cursor;
use vmcore_formats::text::bounded;

/// Puts bytes with their length before them. What is too long to have one is empty.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let (length, bytes) = match u32::try_from(bytes.len()) {
        Ok(length) => (length, bytes),
        Err(_) => (0, [].as_slice()),
    };
    out.extend(length.to_le_bytes());
    out.extend(bytes);
}

/// Takes bytes with their length before them.
pub(super) fn bytes<'a>(from: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = from.u32("length").ok()?;
    from.take(length.into(), "bytes").ok()
}

/// Puts a value that may be missing.
pub(super) fn put_option<T>(
    out: &mut Vec<u8>,
    value: Option<T>,
    put: impl FnOnce(&mut Vec<u8>, T),
) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

/// Takes a value that may be missing.
pub(super) fn option<'a, T>(
    from: &mut Cursor<'a>,
    take: impl FnOnce(&mut Cursor<'a>) -> Option<T>,
) -> Option<Option<T>> {
    if flag(from)? { take(from).map(Some) } else { Some(None) }
}

/// Takes a truth value.
pub(super) fn flag(from: &mut Cursor<'_>) -> Option<bool> {
    match from.u8("flag").ok()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Puts a text that may be missing.
pub(super) fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    put_option(out, text, |out, text| put_bytes(out, text.as_bytes()));
}

/// Takes a text that may be missing, of `max` bytes at most.
pub(super) fn text(from: &mut Cursor<'_>, max: usize) -> Option<Option<String>> {
    option(from, |from| Some(bounded(std::str::from_utf8(bytes(from)?).ok()?, max)))
}

/// Puts a number that may be missing.
pub(super) fn put_number(out: &mut Vec<u8>, number: Option<u64>) {
    put_option(out, number, |out, number| out.extend(number.to_le_bytes()));
}

/// Takes a number that may be missing.
pub(super) fn number(from: &mut Cursor<'_>) -> Option<Option<u64>> {
    option(from, |from| from.u64("number").ok())
}

/// Puts a time.
pub(super) fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend(time.as_nanosecond().to_le_bytes());
}

/// Takes a time.
pub(super) fn time(from: &mut Cursor<'_>) -> Option<Timestamp> {
    let nanoseconds = i128::from_le_bytes(from.array("time").ok()?);
    Timestamp::from_nanosecond(nanoseconds).ok()
}
