//! Messages of libvirt, and a domain's XML.

use vmcore_formats::domain_xml::DomainXml;
use vmcore_formats::libvirt::domain::Uuid;
use vmcore_formats::libvirt::error::RemoteError;
use vmcore_formats::libvirt::event::DomainEvent;
use vmcore_formats::libvirt::{message, reply};

use crate::limits::{SMALL, within};

/// Any number of messages, each of which is decoded as the reply to each call; or an XML.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        if let Ok(text) = std::str::from_utf8(input) {
            let _ = text.parse::<Uuid>().map(|uuid| uuid.to_string());
            match DomainXml::decode(text) {
                Ok(xml) => drop((xml.action_at_crash().to_owned(), xml.preserves())),
                Err(error) => drop(error.to_string()),
            }
        }
        let mut rest = input;
        while let Ok(Some(length)) = message::length(rest) {
            let Some((whole, more)) = rest.split_at_checked(length) else { break };
            rest = more;
            let (header, payload) = message::decode(whole).expect("a whole message has a header");
            let again = message::encode(&header, payload);
            assert_eq!(message::decode(&again), Ok((header, payload)), "it reads back");
            one(header.procedure, payload);
        }
    });
}

fn one(procedure: u32, payload: &[u8]) {
    if let Ok(error) = RemoteError::decode(payload) {
        let _ = error.name();
    }
    let _ = DomainEvent::decode(procedure, payload);
    let _ = reply::authentications(payload);
    let _ = reply::version(payload).map(|version| version.to_string());
    let _ = reply::domains(payload);
    let _ = reply::domain(payload);
    let _ = reply::state(payload).map(|state| state.to_string());
    let _ = reply::xml(payload).map(DomainXml::decode);
    let _ = reply::job_info(payload);
    let _ = reply::memory(payload);
    let _ = reply::callback(payload);
}
