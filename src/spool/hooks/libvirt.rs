//! libvirt's hook `qemu`: `NAME OPERATION SUBOPERATION EXTRA`, and the domain's XML on stdin.
//!
//! libvirt calls no hook at a panic. The end of a domain has its reason as EXTRA, `-` before
//! libvirt 11: `crashed` if it is that `on_crash` destroyed it.

use vmcore_formats::domain_xml::DomainXml;

use super::HookError;
use crate::spool::{EventKind, Manager, SpooledEvent};

const USAGE: &str = "libvirt's hook is called with NAME OPERATION SUBOPERATION EXTRA";

pub(super) fn event(
    arguments: &[String],
    stdin: Option<&str>,
) -> Result<Option<SpooledEvent>, HookError> {
    let mut arguments = arguments.iter().map(String::as_str);
    let (Some(guest), Some(operation)) = (arguments.next(), arguments.next()) else {
        return Err(HookError::Missing { usage: USAGE });
    };
    let extra = arguments.nth(1).filter(|extra| *extra != "-");
    let kind = match (operation, extra) {
        // `start` comes before QEMU runs, `stopped` before `release`.
        ("started" | "reconnect", _) => EventKind::Came,
        ("release", Some("crashed")) => EventKind::PanicLost,
        ("release", _) => EventKind::Went,
        _ => return Ok(None),
    };
    let domain = stdin.and_then(|xml| DomainXml::decode(xml).ok()).unwrap_or_default();
    Ok(Some(SpooledEvent {
        uuid: domain.uuid,
        // libvirt writes it always, `destroy` if it was not given.
        on_crash: domain.on_crash,
        reason: extra.filter(|_| operation == "release").map(str::to_owned),
        ..SpooledEvent::new(Manager::Libvirt, kind, guest)
    }))
}
