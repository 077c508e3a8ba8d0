//! The hookscript of Proxmox VE: `VMID PHASE`. No phase is that of a panic.

use super::HookError;
use crate::spool::{EventKind, Manager, SpooledEvent};

const USAGE: &str = "a hookscript is called with VMID pre-start, post-start, pre-stop or post-stop";

pub(super) fn event(arguments: &[String]) -> Result<Option<SpooledEvent>, HookError> {
    let [guest, phase, ..] = arguments else {
        return Err(HookError::Missing { usage: USAGE });
    };
    let kind = match phase.as_str() {
        "post-start" => EventKind::Came,
        "post-stop" => EventKind::Went,
        "pre-start" | "pre-stop" => return Ok(None),
        _ => return Err(HookError::Operation { found: phase.clone(), usage: USAGE }),
    };
    // samples/hooks/proxmox has QEMU open this socket.
    let is_number = guest.bytes().all(|byte| byte.is_ascii_digit()) && !guest.is_empty();
    let socket = is_number.then(|| format!("/run/vmcorectl/{guest}.qmp").into());
    Ok(Some(SpooledEvent { socket, ..SpooledEvent::new(Manager::Proxmox, kind, guest) }))
}
