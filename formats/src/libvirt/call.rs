//! The calls that are made, as bytes.

use super::domain::{Domain, Uuid};
use super::message::{Header, Kind, QEMU, REMOTE, encode};
use super::xdr::Writer;

/// A call of libvirt: of its program `REMOTE`, but for [`Call::AskQemu`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// Which authentications the connection needs.
    AuthList,
    /// Has polkit decide about the connection.
    AuthPolkit,
    /// Which mechanisms of SASL there are.
    SaslInit,
    /// Begins SASL: the mechanism, and the client's first message.
    SaslStart(&'a str, &'a [u8]),
    /// The client's next message.
    SaslStep(&'a [u8]),
    /// Opens a driver: its URI, and whether only to read.
    Open(&'a str, bool),
    /// The version of libvirt.
    LibVersion,
    /// The version of the hypervisor.
    HypervisorVersion,
    /// All domains that run.
    ListActive,
    /// All domains, those included that do not run.
    ListAll,
    /// A domain by its name.
    LookupByName(&'a str),
    /// A domain by its UUID.
    LookupByUuid(Uuid),
    /// A domain's state.
    GetState(&'a Domain),
    /// A domain's XML.
    GetXml(&'a Domain),
    /// A domain's XML as its next start will have it: without what was changed live.
    GetInactiveXml(&'a Domain),
    /// What is being done to a domain.
    GetJobInfo(&'a Domain),
    /// Stops the vCPUs.
    Suspend(&'a Domain),
    /// Lets the vCPUs run.
    Resume(&'a Domain),
    /// Resets the guest, which then stays paused if it had panicked.
    Reset(&'a Domain),
    /// Ends QEMU.
    Destroy(&'a Domain),
    /// Dumps the guest's memory as ELF into a file that libvirt opens. The reply comes
    /// when the dump has ended.
    CoreDump(&'a Domain, &'a str),
    /// Reads guest-physical memory: address and length.
    MemoryPeek(&'a Domain, u64, u32),
    /// Asks QEMU's monitor for people, which has libvirt mark the domain as tainted.
    AskQemu(&'a Domain, &'a str),
    /// Has a crash of the running domain leave it as it is.
    PreserveOnCrash(&'a Domain),
    /// Asks for the lifecycle events of all domains.
    RegisterLifecycle,
    /// Asks for the resets of all domains.
    RegisterResets,
}

impl Call<'_> {
    /// The program that has the procedure.
    pub fn program(&self) -> u32 {
        match self {
            Self::AskQemu(..) => QEMU,
            _ => REMOTE,
        }
    }

    /// The procedure's number (`remote_procedure`, `qemu_procedure`).
    pub fn procedure(&self) -> u32 {
        match self {
            Self::Open(..) | Self::AskQemu(..) => 1,
            Self::HypervisorVersion => 4,
            Self::Destroy(_) => 12,
            Self::GetXml(_) | Self::GetInactiveXml(_) => 14,
            Self::LookupByName(_) => 23,
            Self::LookupByUuid(_) => 24,
            Self::Resume(_) => 28,
            Self::Suspend(_) => 34,
            Self::AuthList => 66,
            Self::SaslInit => 67,
            Self::SaslStart(..) => 68,
            Self::SaslStep(_) => 69,
            Self::AuthPolkit => 70,
            Self::MemoryPeek(..) => 104,
            Self::LibVersion => 157,
            Self::GetJobInfo(_) => 163,
            Self::GetState(_) => 212,
            Self::Reset(_) => 245,
            Self::ListActive | Self::ListAll => 273,
            Self::RegisterLifecycle | Self::RegisterResets => 316,
            Self::CoreDump(..) => 334,
            Self::PreserveOnCrash(_) => 390,
        }
    }

    /// The procedure's name as libvirt's API has it, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AuthList => "the list of authentications",
            Self::AuthPolkit => "polkit's authentication",
            Self::SaslInit | Self::SaslStart(..) | Self::SaslStep(_) => "SASL's authentication",
            Self::Open(..) => "virConnectOpen",
            Self::LibVersion => "virConnectGetLibVersion",
            Self::HypervisorVersion => "virConnectGetVersion",
            Self::ListActive | Self::ListAll => "virConnectListAllDomains",
            Self::LookupByName(_) => "virDomainLookupByName",
            Self::LookupByUuid(_) => "virDomainLookupByUUID",
            Self::GetState(_) => "virDomainGetState",
            Self::GetXml(_) | Self::GetInactiveXml(_) => "virDomainGetXMLDesc",
            Self::GetJobInfo(_) => "virDomainGetJobInfo",
            Self::Suspend(_) => "virDomainSuspend",
            Self::Resume(_) => "virDomainResume",
            Self::Reset(_) => "virDomainReset",
            Self::Destroy(_) => "virDomainDestroy",
            Self::CoreDump(..) => "virDomainCoreDumpWithFormat",
            Self::MemoryPeek(..) => "virDomainMemoryPeek",
            Self::AskQemu(..) => "virDomainQemuMonitorCommand",
            Self::PreserveOnCrash(_) => "virDomainSetLifecycleAction",
            Self::RegisterLifecycle | Self::RegisterResets => "virConnectDomainEventRegisterAny",
        }
    }

    /// The whole message.
    pub fn encode(&self, serial: u32) -> Vec<u8> {
        let (program, procedure) = (self.program(), self.procedure());
        let header = Header { program, procedure, kind: Kind::Call, serial, is_error: false };
        encode(&header, &self.payload())
    }

    fn payload(&self) -> Vec<u8> {
        /// `VIR_CONNECT_LIST_DOMAINS_ACTIVE`.
        const ACTIVE: u32 = 1;
        /// `VIR_CONNECT_RO`.
        const READ_ONLY: u32 = 1;
        /// `VIR_DUMP_MEMORY_ONLY`.
        const MEMORY_ONLY: u32 = 16;
        /// `VIR_MEMORY_PHYSICAL`.
        const PHYSICAL: u32 = 2;
        /// `VIR_DOMAIN_XML_INACTIVE`.
        const INACTIVE: u32 = 2;
        /// `VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP`.
        const FOR_PEOPLE: u32 = 1;
        const NO_FLAGS: u32 = 0;
        let writer = Writer::default();
        let of = |domain: &Domain| domain.write(Writer::default());
        match self {
            Self::AuthList
            | Self::AuthPolkit
            | Self::SaslInit
            | Self::LibVersion
            | Self::HypervisorVersion => writer,
            Self::SaslStart(mechanism, data) => writer.string(mechanism).i32(0).characters(data),
            Self::SaslStep(data) => writer.i32(0).characters(data),
            Self::Open(uri, read_only) => {
                writer.optional_string(Some(uri)).u32(if *read_only { READ_ONLY } else { NO_FLAGS })
            }
            // 1: the domains themselves, not only their number.
            Self::ListActive => writer.i32(1).u32(ACTIVE),
            Self::ListAll => writer.i32(1).u32(NO_FLAGS),
            Self::LookupByName(name) => writer.string(name),
            Self::LookupByUuid(uuid) => writer.fixed(&uuid.0),
            Self::GetInactiveXml(domain) => of(domain).u32(INACTIVE),
            Self::GetState(domain) | Self::GetXml(domain) | Self::Reset(domain) => {
                of(domain).u32(NO_FLAGS)
            }
            Self::GetJobInfo(domain)
            | Self::Suspend(domain)
            | Self::Resume(domain)
            | Self::Destroy(domain) => of(domain),
            // Format 0 is `RAW`: ELF.
            Self::CoreDump(domain, path) => of(domain).string(path).u32(0).u32(MEMORY_ONLY),
            Self::MemoryPeek(domain, at, length) => of(domain).u64(*at).u32(*length).u32(PHYSICAL),
            Self::AskQemu(domain, command) => of(domain).string(command).u32(FOR_PEOPLE),
            // Type 2 is a crash, action 3 `preserve`, flag 1 the running domain.
            Self::PreserveOnCrash(domain) => of(domain).u32(2).u32(3).u32(1),
            // Event 0 is the lifecycle, event 1 a reset; no domain is all of them.
            Self::RegisterLifecycle => writer.i32(0).u32(0),
            Self::RegisterResets => writer.i32(1).u32(0),
        }
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> Domain {
        Domain { name: "g1".to_owned(), uuid: Uuid([7; 16]), id: 1 }
    }

    #[test]
    fn a_call_has_its_procedure_and_its_arguments() {
        let bytes = Call::MemoryPeek(&domain(), 0x1000, 16).encode(9);
        assert_eq!(bytes.get(12..16), Some(&[0, 0, 0, 104][..]));
        assert_eq!(bytes.get(20..24), Some(&[0, 0, 0, 9][..]));
        let mut expected = vec![0, 0, 0, 2, b'g', b'1', 0, 0];
        expected.extend([7; 16]);
        expected.extend([0, 0, 0, 1]);
        expected.extend([0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 16, 0, 0, 0, 2]);
        assert_eq!(bytes.get(28..), Some(expected.as_slice()));
    }

    #[test]
    fn a_question_to_qemu_is_of_the_program_for_qemu() {
        let bytes = Call::AskQemu(&domain(), "info").encode(9);
        assert_eq!(bytes.get(4..16), Some(&[0x20, 0, 0x80, 0x87, 0, 0, 0, 1, 0, 0, 0, 1][..]));
        let expected = [0, 0, 0, 1, 0, 0, 0, 4, b'i', b'n', b'f', b'o', 0, 0, 0, 1];
        assert_eq!(bytes.get(52..), Some(&expected[..]));
    }

    #[test]
    fn a_message_of_sasl_has_four_bytes_for_each_of_its_own() {
        let bytes = Call::SaslStep(b"n,").encode(1);
        let expected = [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'n', 0, 0, 0, b','];
        assert_eq!(bytes.get(28..), Some(&expected[..]));
    }

    #[test]
    fn a_reset_has_flags_and_a_resume_has_none() {
        let domain = domain();
        let resume = Call::Resume(&domain).encode(1).len();
        assert_eq!(Call::Reset(&domain).encode(1).len(), resume + 4);
    }
}
