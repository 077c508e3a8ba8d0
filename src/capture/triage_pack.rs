//! The triage pack of a capture: what its report read of the core, in a file beside it.
//!
//! Written when the core has its last form: a pack has frames of the core as they are. The guest
//! was released, or stays held: nothing waits for this, and an entry is whole without it.

use std::path::Path;

use super::finish::Finished;
use super::outcome::with_causes;
use super::session::Session;
use crate::corefile::pack::Pack;
use crate::encryption::seal_pack;
use crate::store::{core_in, pack_file};

/// Writes the pack of an entry.
pub(super) fn after_all(session: &mut Session<'_>, finished: &Finished) {
    let Some(entry) = finished.entry.as_ref().filter(|entry| entry.is_dir()) else { return };
    if session.interrupt.is_raised() {
        return;
    }
    if let Err(problem) = write(session, &core_in(entry)) {
        session.observer.warning(&format!("no triage pack: {problem}"));
    }
}

fn write(session: &mut Session<'_>, core: &Path) -> Result<(), String> {
    // Why there is no report of the core was reported.
    let Some(used) = session.used_chunks.take() else { return Ok(()) };
    if let Some(encryption) = session.encryption() {
        let sealed = seal_pack(core, encryption.core().key(), encryption.pack(), &used);
        let sealed = sealed.map_err(|error| with_causes(&error))?;
        return pack_file::replace(core, sealed.len() as u64, |out| out.write_all(&sealed))
            .map_err(|error| with_causes(&error));
    }
    let pack = Pack::of_file(core, &used).map_err(|error| with_causes(&error))?;
    pack_file::replace(core, pack.length(), |out| pack.write(out))
        .map_err(|error| with_causes(&error))
}
