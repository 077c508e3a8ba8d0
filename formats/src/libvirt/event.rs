//! Events: what happens to domains.

use super::domain::Domain;
use super::xdr::{Reader, XdrError};

/// The procedure of a message about a domain's lifecycle.
const LIFECYCLE: u32 = 318;
/// The procedure of a message about a domain's reset.
const REBOOT: u32 = 319;

/// Something that happened to a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainEvent {
    /// The domain.
    pub domain: Domain,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was defined or changed.
    Defined,
    /// It was undefined.
    Undefined,
    /// It was started.
    Started,
    /// Its vCPUs were stopped. Whether a panic did it is another event's news.
    Suspended,
    /// Its vCPUs run again.
    Resumed,
    /// QEMU has ended.
    Stopped,
    /// It shuts down.
    ShuttingDown,
    /// It suspended itself.
    PmSuspended,
    /// It panicked.
    Panicked,
    /// It crashed, and its own kernel dumps it: it is not held.
    CrashLoaded,
    /// It was reset.
    Reset,
    /// What this version does not know.
    Other,
}

impl DomainEvent {
    /// The event in a message.
    ///
    /// Returns `Ok(None)` for another procedure's message.
    pub fn decode(procedure: u32, payload: &[u8]) -> Result<Option<Self>, XdrError> {
        let mut reader = Reader::new(payload);
        if !matches!(procedure, LIFECYCLE | REBOOT) {
            return Ok(None);
        }
        reader.i32("callback id")?;
        let domain = Domain::read(&mut reader)?;
        let kind = match procedure {
            REBOOT => EventKind::Reset,
            _ => lifecycle(reader.i32("event")?, reader.i32("event detail")?),
        };
        Ok(Some(Self { domain, kind }))
    }
}

/// A `virDomainEventType` and its detail.
fn lifecycle(event: i32, detail: i32) -> EventKind {
    match (event, detail) {
        (0, _) => EventKind::Defined,
        (1, _) => EventKind::Undefined,
        (2, _) => EventKind::Started,
        (3, _) => EventKind::Suspended,
        (4, _) => EventKind::Resumed,
        (5, _) => EventKind::Stopped,
        (6, _) => EventKind::ShuttingDown,
        (7, _) => EventKind::PmSuspended,
        (8, 0) => EventKind::Panicked,
        (8, 1) => EventKind::CrashLoaded,
        _ => EventKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::domain::Uuid;
    use super::super::xdr::Writer;
    use super::*;

    fn payload(numbers: &[i32]) -> Vec<u8> {
        let writer = Writer::default().i32(0).string("g1").fixed(&[7; 16]).i32(3);
        numbers.iter().fold(writer, |writer, number| writer.i32(*number)).into_bytes()
    }

    #[test]
    fn a_panic_is_event_8_without_detail() {
        let domain = Domain { name: "g1".to_owned(), uuid: Uuid([7; 16]), id: 3 };
        for (numbers, kind) in [
            ([8, 0], EventKind::Panicked),
            ([8, 1], EventKind::CrashLoaded),
            ([8, 2], EventKind::Other),
            ([3, 0], EventKind::Suspended),
            ([5, 2], EventKind::Stopped),
            ([-1, 0], EventKind::Other),
        ] {
            let event = DomainEvent::decode(LIFECYCLE, &payload(&numbers)).unwrap();
            assert_eq!(event, Some(DomainEvent { domain: domain.clone(), kind }));
        }
        let reset = DomainEvent::decode(REBOOT, &payload(&[])).unwrap();
        assert_eq!(reset, Some(DomainEvent { domain, kind: EventKind::Reset }));
        assert_eq!(DomainEvent::decode(320, &payload(&[])), Ok(None));
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let whole = payload(&[8, 0]);
        for len in 0..whole.len() {
            assert!(DomainEvent::decode(LIFECYCLE, &whole[..len]).is_err(), "cut at {len}");
        }
    }
}
