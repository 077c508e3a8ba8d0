//! libvirt's calls about domains, with typed answers.

use vmcore_formats::domain_xml::DomainXml;
use vmcore_formats::libvirt::call::Call;
use vmcore_formats::libvirt::domain::{Domain, DomainState, Uuid};
use vmcore_formats::libvirt::error::RemoteError;
use vmcore_formats::libvirt::reply::{self, JobInfo, LibvirtVersion};

use super::client::{CallId, Client};
use crate::monitor::{Answer, Manager, MonitorError, WaitLimits};

impl Client {
    /// The domains that run or are held.
    pub fn active_domains(&mut self, limits: &WaitLimits<'_>) -> Answer<Vec<Domain>> {
        self.call(&Call::ListActive, reply::domains, limits)
    }

    /// All domains, those included that are shut off.
    pub fn all_domains(&mut self, limits: &WaitLimits<'_>) -> Answer<Vec<Domain>> {
        self.call(&Call::ListAll, reply::domains, limits)
    }

    /// The domain of a UUID or a name.
    pub fn lookup(&mut self, name: &str, limits: &WaitLimits<'_>) -> Answer<Domain> {
        let by_name = Call::LookupByName(name);
        let Ok(uuid) = name.parse::<Uuid>() else {
            return self.call(&by_name, reply::domain, limits);
        };
        match self.call(&Call::LookupByUuid(uuid), reply::domain, limits) {
            // A name may look like a UUID.
            Err(error) if libvirt_code(&error) == Some(RemoteError::NO_DOMAIN) => {
                self.call(&by_name, reply::domain, limits)
            }
            other => other,
        }
    }

    /// A domain's state.
    pub fn state(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<DomainState> {
        self.call(&Call::GetState(domain), reply::state, limits)
    }

    /// What a domain's XML says.
    pub fn xml(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<DomainXml> {
        self.decoded(&Call::GetXml(domain), limits)
    }

    /// A domain's description as its next start will have it. One that is defined nowhere
    /// has none but that of its run.
    pub fn inactive_xml(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<DomainXml> {
        self.decoded(&Call::GetInactiveXml(domain), limits)
    }

    fn decoded(&mut self, call: &Call<'_>, limits: &WaitLimits<'_>) -> Answer<DomainXml> {
        let xml = self.call(call, |payload| reply::xml(payload).map(str::to_owned), limits)?;
        DomainXml::decode(&xml).map_err(|error| MonitorError::Unexpected {
            by: Manager::Libvirt,
            command: call.name().to_owned(),
            found: error.to_string(),
        })
    }

    /// What is being done to a domain.
    pub fn job(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<JobInfo> {
        self.call(&Call::GetJobInfo(domain), reply::job_info, limits)
    }

    /// The version of QEMU that libvirt starts.
    pub fn hypervisor_version(&mut self, limits: &WaitLimits<'_>) -> Answer<LibvirtVersion> {
        self.call(&Call::HypervisorVersion, reply::version, limits)
    }

    /// Has this connection get the lifecycle events and the resets of all domains.
    ///
    /// A panic that came before is none of them: list the domains after this.
    pub fn register_events(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.call(&Call::RegisterLifecycle, reply::callback, limits)?;
        self.call(&Call::RegisterResets, reply::callback, limits)?;
        Ok(())
    }

    /// Stops a domain's vCPUs.
    pub fn suspend(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(&Call::Suspend(domain), limits)
    }

    /// Lets a domain run.
    pub fn resume(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(&Call::Resume(domain), limits)
    }

    /// Resets a domain. One that had panicked is `paused (crashed)` then.
    pub fn reset(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(&Call::Reset(domain), limits)
    }

    /// Ends a domain's QEMU.
    pub fn destroy(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(&Call::Destroy(domain), limits)
    }

    /// Has a panic leave the running domain as it is: `on_crash` is `preserve` until it
    /// is shut off.
    pub fn preserve_on_crash(&mut self, domain: &Domain, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(&Call::PreserveOnCrash(domain), limits)
    }

    /// Guest-physical memory, at most [`reply::MAX_PEEK`] bytes of it. Where the guest has
    /// none, libvirt gives zeros: ask only for ranges that are known.
    pub fn peek(
        &mut self,
        domain: &Domain,
        at: u64,
        length: u32,
        limits: &WaitLimits<'_>,
    ) -> Answer<Vec<u8>> {
        let call = Call::MemoryPeek(domain, at, length);
        self.call(&call, |payload| reply::memory(payload).map(<[u8]>::to_vec), limits)
    }

    /// What QEMU's monitor for people answers. libvirt marks the domain as tainted by it.
    pub fn ask_qemu(
        &mut self,
        domain: &Domain,
        command: &str,
        limits: &WaitLimits<'_>,
    ) -> Answer<String> {
        let call = Call::AskQemu(domain, command);
        self.call(&call, |payload| reply::text(payload).map(str::to_owned), limits)
    }

    /// Begins a dump of a domain's memory into the file at `path`, which libvirt opens.
    ///
    /// The reply comes when the dump has ended, and no other call that changes the domain
    /// is carried out before. A named pipe without a reader stops libvirt: open it first.
    pub fn begin_core_dump(
        &mut self,
        domain: &Domain,
        path: &str,
        limits: &WaitLimits<'_>,
    ) -> Answer<CallId> {
        self.begin(&Call::CoreDump(domain, path), limits)
    }
}

/// libvirt's number of an error, if libvirt answered with one.
pub(super) fn libvirt_code(error: &MonitorError) -> Option<i32> {
    error.refusal().and_then(|refusal| refusal.code)
}
