//! Values as they are written in the file: `5m`, `200GiB`, `off`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use vmcore_formats::page_class::PageClasses;

use crate::units::parse;

/// Longer is no limit that anybody means, and clocks overflow.
const MAX_DURATION: Duration = Duration::from_hours(24 * 366);

/// A duration that is not zero.
pub(super) fn duration<'de, D: Deserializer<'de>>(value: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(value)?;
    checked_duration(&text).map_err(de::Error::custom)
}

/// A duration that may be left out.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Duration>, D::Error> {
    duration(value).map(Some)
}

/// A duration, or `none`.
pub(super) fn limit<'de, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<Option<Duration>>, D::Error> {
    match String::deserialize(value)?.as_str() {
        "none" => Ok(Some(None)),
        text => checked_duration(text).map(|limit| Some(Some(limit))).map_err(de::Error::custom),
    }
}

fn checked_duration(text: &str) -> Result<Duration, String> {
    let duration = parse::positive_duration(text)?;
    if duration > MAX_DURATION { Err("it is more than a year".to_owned()) } else { Ok(duration) }
}

/// Which pages are left out.
pub(super) fn pages<'de, D: Deserializer<'de>>(value: D) -> Result<Option<PageClasses>, D::Error> {
    String::deserialize(value)?.parse().map(Some).map_err(de::Error::custom)
}

/// A size in bytes.
pub(super) fn size<'de, D: Deserializer<'de>>(value: D) -> Result<u64, D::Error> {
    parse::size(&String::deserialize(value)?).map_err(de::Error::custom)
}

/// A size in bytes that may be left out.
pub(super) fn some_size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    size(value).map(Some)
}

/// The address of a store in object storage. It has no secrets: it becomes an argument.
pub(super) fn object_storage<'de, D: Deserializer<'de>>(
    value: D,
) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(value)?;
    let known = ["s3://", "s3a://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme));
    if !known || text.contains(['?', '#']) {
        let problem = "it is no address of object storage: s3://BUCKET/PREFIX, gs://, or az://";
        return Err(de::Error::custom(problem));
    }
    Ok(Some(text))
}

/// A count that is not zero.
pub(super) fn count<'de, D: Deserializer<'de>>(value: D) -> Result<usize, D::Error> {
    match usize::deserialize(value)? {
        0 => Err(de::Error::custom("it must be more than zero")),
        count => Ok(count),
    }
}

/// The same, if it is given.
pub(super) fn some_count<'de, D: Deserializer<'de>>(value: D) -> Result<Option<usize>, D::Error> {
    count(value).map(Some)
}

/// The URI of a libvirt, or `off`.
pub(super) fn libvirt<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    match String::deserialize(value)?.as_str() {
        "off" => Ok(None),
        uri if uri.contains(":///") => Ok(Some(uri.to_owned())),
        other => Err(de::Error::custom(format!(
            "{other:?} is no URI of a libvirt on this host such as \"qemu:///system\", and not \"off\""
        ))),
    }
}

/// A zstd level.
pub(super) fn level<'de, D: Deserializer<'de>>(value: D) -> Result<Option<i32>, D::Error> {
    match i32::deserialize(value)? {
        level @ -7..=19 => Ok(Some(level)),
        other => Err(de::Error::custom(format!("{other} is no level from -7 to 19"))),
    }
}
