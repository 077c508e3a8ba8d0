//! Whose memory it is, for the header of a kdump-compressed file.
//!
//! libkdumpfile, and with it drgn, takes the machine from there, and believes it
//! only if the kernel's release and build are beside it.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::kdump::header::{UTS_LENGTH, UtsName};
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::kernel::AddressSpace;
use crate::vmcore::Vmcore;

/// The build, where it is unknown.
const UNKNOWN: &[u8] = b"unknown";

/// What the kernel calls itself: from its memory, else from VMCOREINFO. Without
/// either it has only a machine.
pub(super) fn of(core: &Vmcore, info: Option<&VmcoreInfo>) -> UtsName {
    let machine = core.identity().machine_name().unwrap_or_default().as_bytes().to_vec();
    let Some((info, release)) = info.and_then(|info| Some((info, info.release()?))) else {
        return UtsName { machine, ..UtsName::default() };
    };
    let mut uts = in_memory(core, info)
        .filter(|uts| uts.sysname == b"Linux" && uts.release == release.as_bytes())
        .unwrap_or_else(|| UtsName {
            sysname: b"Linux".to_vec(),
            release: release.as_bytes().to_vec(),
            version: UNKNOWN.to_vec(),
            ..UtsName::default()
        });
    // What a process of another personality would see is no matter here.
    uts.machine = if machine.is_empty() { uts.machine } else { machine };
    uts
}

/// `init_uts_ns.name`, where VMCOREINFO says that it is.
fn in_memory(core: &Vmcore, info: &VmcoreInfo) -> Option<UtsName> {
    let offset = info.offset("uts_namespace.name")?;
    let at = info.symbol("init_uts_ns")?.0.checked_add(offset)?;
    let space = AddressSpace::find(core, info).ok()?;
    UtsName::decode(&space.read_vec(VirtAddr(at), UTS_LENGTH).ok()?).ok()
}
