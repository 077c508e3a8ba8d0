//! What replies carry, by the call.

use super::domain::{Domain, DomainState};
use super::xdr::{Reader, XdrError};

/// How many domains a list may have (`REMOTE_DOMAIN_LIST_MAX`).
const MAX_DOMAINS: u32 = 16_384;
/// How much memory one call gives, in bytes (`REMOTE_DOMAIN_MEMORY_PEEK_BUFFER_MAX`).
pub const MAX_PEEK: u32 = 4 << 20;
/// How many authentications a list may have (`REMOTE_AUTH_TYPE_LIST_MAX`).
const MAX_AUTHENTICATIONS: u32 = 20;

/// How a connection is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all: the socket's file permissions decide.
    None,
    /// SASL: a user and a password, or more.
    Sasl,
    /// polkit decides by the process.
    Polkit,
    /// What this version does not know.
    Other(i32),
}

/// The longest message of SASL (`REMOTE_AUTH_SASL_DATA_MAX`).
const MAX_SASL: u32 = 65_536;

/// What libvirt answers a message of SASL with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslAnswer {
    /// Whether the client is authenticated.
    pub is_complete: bool,
    /// Its own message.
    pub message: Vec<u8>,
}

/// A version of libvirt, or of a hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LibvirtVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub release: u32,
}

impl LibvirtVersion {
    /// From libvirt's number: 1,000,000 * major + 1,000 * minor + release.
    pub fn from_number(number: u64) -> Self {
        let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            major: part(number / 1_000_000),
            minor: part(number / 1000 % 1000),
            release: part(number % 1000),
        }
    }
}

impl std::fmt::Display for LibvirtVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.release)
    }
}

/// What is being done to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobInfo {
    /// The kind (`virDomainJobType`): 0 is none.
    pub kind: i32,
    /// For how long, in milliseconds.
    pub elapsed_ms: u64,
    /// Bytes of memory in all.
    pub memory_total: u64,
    /// Bytes of memory that are done.
    pub memory_processed: u64,
}

impl JobInfo {
    /// Whether something is being done.
    pub fn is_active(&self) -> bool {
        // 3 is completed, 4 failed, 5 cancelled.
        matches!(self.kind, 1 | 2)
    }
}

/// The reply to `AuthList`.
pub fn authentications(payload: &[u8]) -> Result<Vec<Authentication>, XdrError> {
    let mut reader = Reader::new(payload);
    reader.array("authentications", MAX_AUTHENTICATIONS, |reader| {
        Ok(match reader.i32("authentication")? {
            0 => Authentication::None,
            1 => Authentication::Sasl,
            2 => Authentication::Polkit,
            other => Authentication::Other(other),
        })
    })
}

/// The reply to `SaslInit`: the mechanisms' names, with commas between.
pub fn sasl_mechanisms(payload: &[u8]) -> Result<&str, XdrError> {
    Reader::new(payload).string("SASL's mechanisms")
}

/// The reply to `SaslStart` and `SaslStep`.
pub fn sasl_answer(payload: &[u8]) -> Result<SaslAnswer, XdrError> {
    let mut reader = Reader::new(payload);
    let is_complete = reader.i32("SASL's end")? != 0;
    // Whether there is a message: one of no bytes has the same meaning for these mechanisms.
    reader.i32("SASL's message")?;
    Ok(SaslAnswer { is_complete, message: reader.characters("SASL's message", MAX_SASL)? })
}

/// The reply to `AskQemu`: what the monitor wrote.
pub fn text(payload: &[u8]) -> Result<&str, XdrError> {
    Reader::new(payload).string("an answer of QEMU")
}

/// The reply to `LibVersion` and `HypervisorVersion`.
pub fn version(payload: &[u8]) -> Result<LibvirtVersion, XdrError> {
    Ok(LibvirtVersion::from_number(Reader::new(payload).u64("version")?))
}

/// The reply to `ListActive` and `ListAll`.
pub fn domains(payload: &[u8]) -> Result<Vec<Domain>, XdrError> {
    Reader::new(payload).array("domains", MAX_DOMAINS, Domain::read)
}

/// The reply to `LookupByName` and `LookupByUuid`.
pub fn domain(payload: &[u8]) -> Result<Domain, XdrError> {
    Domain::read(&mut Reader::new(payload))
}

/// The reply to `GetState`.
pub fn state(payload: &[u8]) -> Result<DomainState, XdrError> {
    let mut reader = Reader::new(payload);
    Ok(DomainState { state: reader.i32("state")?, reason: reader.i32("state's reason")? })
}

/// The reply to `GetXml`.
pub fn xml(payload: &[u8]) -> Result<&str, XdrError> {
    Reader::new(payload).string("domain XML")
}

/// The reply to `GetJobInfo`.
pub fn job_info(payload: &[u8]) -> Result<JobInfo, XdrError> {
    let mut reader = Reader::new(payload);
    let kind = reader.i32("job type")?;
    let elapsed_ms = reader.u64("time elapsed")?;
    for what in ["time remaining", "data total", "data processed", "data remaining"] {
        reader.u64(what)?;
    }
    let memory_total = reader.u64("memory total")?;
    let memory_processed = reader.u64("memory processed")?;
    Ok(JobInfo { kind, elapsed_ms, memory_total, memory_processed })
}

/// The reply to `MemoryPeek`.
pub fn memory(payload: &[u8]) -> Result<&[u8], XdrError> {
    Reader::new(payload).opaque("memory", MAX_PEEK)
}

/// The reply to `RegisterLifecycle`: the registration's number.
pub fn callback(payload: &[u8]) -> Result<i32, XdrError> {
    Reader::new(payload).i32("callback id")
}

#[cfg(test)]
mod tests {
    use super::super::domain::Uuid;
    use super::super::xdr::Writer;
    use super::*;

    #[test]
    fn a_list_has_as_many_domains_as_it_says() {
        let mut writer = Writer::default().u32(2);
        for (name, id) in [("web", 1), ("db", -1)] {
            writer = writer.string(name).fixed(&[3; 16]).i32(id);
        }
        let payload = writer.u32(2).into_bytes();
        let found = domains(&payload).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], Domain { name: "db".to_owned(), uuid: Uuid([3; 16]), id: -1 });
        let claims = Writer::default().u32(16_384).into_bytes();
        assert!(domains(&claims).is_err());
    }

    #[test]
    fn an_answer_of_sasl_has_its_message_and_no_more_than_that() {
        let payload = Writer::default().i32(1).i32(0).characters(b"v=").into_bytes();
        let answer = sasl_answer(&payload).unwrap();
        assert_eq!(answer, SaslAnswer { is_complete: true, message: b"v=".to_vec() });
        assert!(sasl_answer(payload.get(..18).unwrap()).is_err());
        let claims = Writer::default().i32(0).i32(0).u32(65_537).into_bytes();
        assert!(matches!(sasl_answer(&claims), Err(XdrError::TooLong { .. })));
    }

    #[test]
    fn a_version_is_three_numbers() {
        let payload = Writer::default().u64(11_003_000).into_bytes();
        let found = version(&payload).unwrap();
        assert_eq!(found.to_string(), "11.3.0");
        assert!(LibvirtVersion::from_number(9_000_000) < found);
        assert_eq!(LibvirtVersion::from_number(u64::MAX).major, u32::MAX);
    }

    #[test]
    fn a_job_is_under_way_or_not() {
        let mut writer = Writer::default().i32(2);
        for value in 1..=11 {
            writer = writer.u64(value);
        }
        let job = job_info(&writer.into_bytes()).unwrap();
        assert!(job.is_active());
        assert_eq!((job.elapsed_ms, job.memory_total, job.memory_processed), (1, 6, 7));
        assert!(!JobInfo { kind: 0, ..job }.is_active());
    }

    #[test]
    fn memory_is_bounded() {
        let payload = Writer::default().opaque(&[1, 2, 3]).into_bytes();
        assert_eq!(memory(&payload), Ok(&[1, 2, 3][..]));
        let claims = Writer::default().u32(MAX_PEEK + 1).into_bytes();
        assert!(matches!(memory(&claims), Err(XdrError::TooLong { .. })));
    }
}
