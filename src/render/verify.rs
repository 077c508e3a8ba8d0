//! The result of `verify`, for people.

use std::io::{self, Write};
use std::path::Path;

use crate::printable::shown;
use crate::units::bytes;
use crate::vmcore::verify::{Damage, Verification};

/// Prints the damage of a core, or that it has none.
pub fn text(path: &Path, found: &Verification, out: &mut dyn Write) -> io::Result<()> {
    let path = shown(&path.display().to_string());
    for damage in &found.damage {
        writeln!(out, "damaged  {}", shown(&damage.problem))?;
        for place in places(damage) {
            writeln!(out, "         {place}")?;
        }
    }
    if found.more_damage > 0 {
        writeln!(out, "damaged  and {} more places", found.more_damage)?;
    }
    for missing in &found.missing {
        writeln!(out, "missing  {}", shown(missing))?;
    }
    let checked = match found.chunks {
        0 => bytes(found.bytes),
        chunks => format!("{chunks} chunks, {}", bytes(found.bytes)),
    };
    match (found.damage_count(), found.missing.is_empty()) {
        (0, true) => writeln!(out, "{path}: whole ({checked})"),
        (0, false) => writeln!(out, "{path}: undamaged as far as it goes ({checked})"),
        (count, _) => writeln!(out, "{path}: damaged in {count} places ({checked})"),
    }
}

fn places(damage: &Damage) -> Vec<String> {
    const SHOWN: usize = 8;
    let mut places = Vec::new();
    if let (Some(offset), Some(length)) = (damage.file_offset, damage.file_bytes) {
        let end = offset.saturating_add(length);
        places.push(format!("in the file {offset:#x}..{end:#x}"));
    }
    if let Some(offset) = damage.core_offset {
        places.push(format!("in the unpacked core from {offset:#x}"));
    }
    for range in damage.memory.iter().take(SHOWN) {
        let end = range.start.saturating_add(range.length);
        places.push(format!("guest memory {:#x}..{end:#x}", range.start));
    }
    if let Some(more) = damage.memory.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        places.push(format!("{more} more ranges of guest memory"));
    }
    places
}
