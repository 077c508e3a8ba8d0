//! What the table of a bucket has of a pushed entry: its row, and what was noted of it.
//!
//! All of it is created once, under a name that follows from the entry. Whoever pushes the entry
//! again, or makes rows of entries that have none (`index`), creates the same.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::BucketError;
use super::files::{LocalCore, encrypted, read};
use crate::regular_file;
use crate::remote::Channel;
use crate::store::annotations::{Annotation, FOLDER, MAX_ANNOTATION, MAX_FILES};
use crate::store::{PACK_FILE, REPORT_FILE};
use crate::tables::{EntryTexts, layout};

/// Creates the row of an entry (`GUEST/ID`) that is in this directory. An encrypted entry's row has
/// what its metadata has in the clear.
pub(super) fn add_row(
    channel: &Channel,
    entry: &str,
    local: &Path,
    metadata: &[u8],
) -> Result<(), BucketError> {
    let report = read(&local.join(REPORT_FILE))?;
    let length = |name: &str| Some(fs::symlink_metadata(local.join(name)).ok()?.len());
    let texts = EntryTexts {
        entry,
        metadata,
        report: report.as_deref(),
        core_bytes: LocalCore::open(local)?.map(|core| core.stamp.bytes),
        pack_bytes: length(PACK_FILE).or_else(|| length(&encrypted(PACK_FILE))),
    };
    // Metadata of no version that can be read is sent as it is; there is nothing to count.
    if let Some(row) = texts.row() {
        channel.put_new(&row.name(), &row.to_json())?;
    }
    Ok(())
}

/// Creates what was noted of the entry on this machine: in the entry, and in the table.
pub(super) fn add_annotations(
    channel: &Channel,
    entry: &str,
    local: &Path,
) -> Result<(), BucketError> {
    let folder = local.join(FOLDER);
    let failed = |source: io::Error| BucketError::io("read the directory", &folder, source);
    let files = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        files => files.map_err(failed)?,
    };
    let id = entry.rsplit_once('/').map_or(entry, |(_, id)| id);
    for file in files.take(MAX_FILES) {
        let file = file.map_err(failed)?;
        let name = file.file_name();
        // What is being written has another name.
        let random = name.to_str().and_then(|name| name.strip_suffix(".json"));
        let Some(random) = random.filter(|random| is_word(random)) else { continue };
        let json = match regular_file::read_own(&file.path(), MAX_ANNOTATION) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            json => json.map_err(|source| BucketError::io("read", file.path(), source))?,
        };
        let Some(annotation) = Annotation::parse(&json) else { continue };
        channel.put_new(&format!("{entry}/{FOLDER}/{random}.json"), &json)?;
        let of_table = layout::annotation(&layout::day(annotation.time), id, random);
        channel.put_new(&of_table, &json)?;
    }
    Ok(())
}

/// Whether a name has nothing that divides names.
fn is_word(name: &str) -> bool {
    layout::is_id(name) && !name.contains('.')
}
