//! An event of Incus' type `lifecycle`: `NAME ACTION [PROJECT]`. Incus has no hooks of virtual
//! machines; `samples/hooks/incus-events` follows its events.

use super::{HookError, is_plain};
use crate::spool::{EventKind, Manager, SpooledEvent};

const USAGE: &str = "an event of Incus is given as NAME ACTION [PROJECT]";

pub(super) fn event(arguments: &[String]) -> Result<Option<SpooledEvent>, HookError> {
    let [guest, action, more @ ..] = arguments else {
        return Err(HookError::Missing { usage: USAGE });
    };
    let kind = match action.as_str() {
        "instance-started" | "instance-restarted" | "instance-resumed" => EventKind::Came,
        "instance-stopped" | "instance-shutdown" => EventKind::Went,
        _ => return Ok(None),
    };
    let project = more.first().map(String::as_str).filter(|project| *project != "default");
    let folder = match project {
        Some(project) => format!("{project}_{guest}"),
        None => guest.clone(),
    };
    let socket = is_plain(&folder).then(|| format!("/run/incus/{folder}/vmcorectl.qmp").into());
    Ok(Some(SpooledEvent { socket, ..SpooledEvent::new(Manager::Incus, kind, &folder) }))
}
