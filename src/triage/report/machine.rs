//! The machine, from the core's notes and the metadata.

use vmcore_formats::elf::note::NT_PRSTATUS;

use super::data::Machine;
use crate::metadata::Metadata;
use crate::vmcore::Vmcore;

/// The machine's part of a report, without what its kernel knows.
pub(super) fn of(core: &Vmcore, metadata: Option<&Metadata>) -> Machine {
    let notes = core.notes().filter_map(Result::ok);
    let vcpus = notes.filter(|note| note.name == b"CORE" && note.kind == NT_PRSTATUS).count();
    let memory = core.memory().ranges().iter();
    let guest = metadata.map(|metadata| &metadata.guest);
    let panic = metadata.and_then(|metadata| metadata.panic.as_ref());
    Machine {
        guest: guest.and_then(|guest| guest.name.clone()),
        architecture: guest
            .and_then(|guest| guest.architecture.clone())
            .or_else(|| core.identity().machine_name().map(str::to_owned)),
        vcpus: core.windows_header().map_or(vcpus, |header| {
            vcpus.max(usize::try_from(header.processors).unwrap_or_default())
        }),
        memory_bytes: memory.fold(0, |sum, range| range.length.saturating_add(sum)),
        qemu: guest.and_then(|guest| guest.qemu_version.clone()),
        machine_type: guest.and_then(|guest| guest.machine.clone()),
        hardware: None,
        core_format: core.format().to_string(),
        noticed: panic.map(|panic| panic.happened.unwrap_or(panic.noticed).to_string()),
    }
}
