//! A script of any other manager: `started|stopped|crashed GUEST [SOCKET]`.

use super::HookError;
use crate::spool::{EventKind, Manager, SpooledEvent};

const USAGE: &str = "started, stopped or crashed is needed, and GUEST [SOCKET]";

pub(super) fn event(arguments: &[String]) -> Result<Option<SpooledEvent>, HookError> {
    let [operation, guest, more @ ..] = arguments else {
        return Err(HookError::Missing { usage: USAGE });
    };
    let kind = match operation.as_str() {
        "started" => EventKind::Came,
        "stopped" => EventKind::Went,
        "crashed" => EventKind::PanicLost,
        _ => return Err(HookError::Operation { found: operation.clone(), usage: USAGE }),
    };
    let socket = more.first().filter(|path| path.starts_with('/')).map(Into::into);
    Ok(Some(SpooledEvent { socket, ..SpooledEvent::new(Manager::Other, kind, guest) }))
}
