//! A domain of libvirt behind the [`Monitor`] trait, in QEMU's words.
//!
//! ```text
//! libvirt                     here
//! crashed (panicked)          guest-panicked
//! paused (crashed)            prelaunch: reset after a panic, and still stopped
//! paused, pmsuspended         paused, suspended
//! shut off, no such domain    MonitorError::Ended
//! ```
//!
//! Everything is done by libvirt's own calls: libvirt 9.0 dies of a dump that it did not
//! begin. A dump has a connection of its own ([`super::dump`]).

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use serde_json::{Value, json};
use vmcore_formats::domain_xml::DomainXml;
use vmcore_formats::libvirt::domain::{Domain, DomainState};
use vmcore_formats::libvirt::error::RemoteError;
use vmcore_formats::libvirt::event::{DomainEvent, EventKind};
use vmcore_formats::libvirt::reply::{LibvirtVersion, MAX_PEEK};

use super::address::DomainTarget;
use super::client::{Access, Client, Received};
use super::domains::libvirt_code;
use super::dump::{CoreDump, PassedPipe};
use super::owner::{process_of, process_with};
use super::stale_pipes;
use crate::monitor::{
    Answer, CommandId, CpuPath, CrashInformation, DumpPart, DumpReply, DumpStatus, Event,
    GuestEvent, Manager, MemorySize, Monitor, MonitorError, Refusal, RunState, Version, WaitLimits,
    WaitResult,
};

/// How many events are kept until they are taken.
const MAX_EVENTS: usize = 1024;

/// What is known of libvirt and of a domain, for the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainFacts {
    /// The URI of libvirt.
    pub uri: String,
    /// libvirt's version.
    pub version: LibvirtVersion,
    /// What libvirt does when the guest panics.
    pub on_crash: String,
}

/// A connection to a domain.
#[derive(Debug)]
pub struct DomainMonitor {
    target: DomainTarget,
    client: Client,
    domain: Domain,
    xml: DomainXml,
    events: VecDeque<Event>,
    guest_events: Vec<GuestEvent>,
    /// That QEMU has ended, in libvirt's words.
    ended: Option<String>,
    pipe: Option<PassedPipe>,
    dump: Option<CoreDump>,
    /// The end of a dump, which [`Monitor::wait`] is to bring.
    reply: Option<(CommandId, Result<Value, Refusal>)>,
}

impl DomainMonitor {
    /// Connects to libvirt, asks for events, and looks the domain up.
    pub fn connect(target: &DomainTarget, limits: &WaitLimits<'_>) -> Answer<Self> {
        // Before the domain is asked for anything that waits for a dump into one of them.
        stale_pipes::clear(&target.libvirt.folder_for_pipes());
        let (client, domain, xml) = open(target, &target.name, limits)?;
        Ok(Self {
            target: target.clone(),
            client,
            domain,
            xml,
            events: VecDeque::new(),
            guest_events: Vec::new(),
            ended: None,
            pipe: None,
            dump: None,
            reply: None,
        })
    }

    /// Takes the events of this domain that came during calls.
    fn take_events(&mut self) {
        while let Some(event) = self.client.take_event() {
            self.take(&event);
        }
    }

    fn take(&mut self, event: &DomainEvent) {
        if event.domain.uuid != self.domain.uuid {
            return;
        }
        let (name, change) = match event.kind {
            // No change of a stopped guest: it has to run before, and that is an event, too.
            // libvirt reports a panic shortly after the state that it leads to.
            EventKind::Panicked => ("GUEST_PANICKED", None),
            EventKind::CrashLoaded => ("GUEST_CRASHLOADED", None),
            EventKind::Suspended | EventKind::PmSuspended => ("STOP", None),
            EventKind::Resumed => ("RESUME", Some(GuestEvent::Resumed)),
            EventKind::Reset => ("RESET", Some(GuestEvent::Reset)),
            EventKind::ShuttingDown => ("SHUTDOWN", Some(GuestEvent::ShutDown)),
            EventKind::Stopped => {
                self.ended = Some("shut off".to_owned());
                ("SHUTDOWN", Some(GuestEvent::ShutDown))
            }
            EventKind::Started => {
                self.ended = None;
                ("RESUME", Some(GuestEvent::Resumed))
            }
            EventKind::Defined | EventKind::Undefined | EventKind::Other => return,
        };
        if let Some(change) = change
            && !self.guest_events.contains(&change)
        {
            self.guest_events.push(change);
        }
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(Event { name: name.to_owned(), data: json!({}), time: None });
        }
    }

    /// Looks whether the dump has ended.
    fn look_at_dump(&mut self) {
        let Some(dump) = &mut self.dump else { return };
        if self.pipe.as_ref().is_some_and(PassedPipe::has_bytes) {
            self.pipe = None;
        }
        let id = dump.command();
        let Some(result) = dump.look(self.pipe.as_ref()) else { return };
        self.dump = None;
        // The stream would not end as long as this end is open.
        self.pipe = None;
        self.reply = Some((id, result.map(|()| Value::Null)));
    }

    fn order(&mut self, call: impl FnOnce(&mut Client, &Domain) -> Answer<()>) -> Answer<()> {
        let done = call(&mut self.client, &self.domain);
        self.take_events();
        done
    }
}

/// A new connection, and the domain.
fn open(
    target: &DomainTarget,
    name: &str,
    limits: &WaitLimits<'_>,
) -> Answer<(Client, Domain, DomainXml)> {
    let mut client = Client::connect(&target.libvirt, Access::ReadWrite, limits)?;
    client.register_events(limits)?;
    let domain = client.lookup(name, limits)?;
    let xml = client.xml(&domain, limits)?;
    Ok((client, domain, xml))
}

fn run_state(state: DomainState) -> Answer<RunState> {
    if state.is_shut_off() {
        return Err(MonitorError::Ended { state: state.to_string() });
    }
    let status = match (state.state, state.reason) {
        _ if state.is_panicked() => "guest-panicked",
        _ if state.is_running() => "running",
        (3, 5) => "io-error",
        (3, 6) => "watchdog",
        (3, 10) => "prelaunch",
        (3, _) => "paused",
        (4, _) => "shutdown",
        (7, _) => "suspended",
        _ => "internal-error",
    };
    Ok(RunState { status: status.to_owned(), running: state.is_running() })
}

impl Monitor for DomainMonitor {
    fn manager(&self) -> Manager {
        Manager::Libvirt
    }

    // The one that runs may be older than the one that libvirt starts.
    fn version(&self) -> Option<Version> {
        None
    }

    fn libvirt(&self) -> Option<DomainFacts> {
        Some(DomainFacts {
            uri: self.target.libvirt.full_uri(),
            version: self.client.version(),
            on_crash: self.xml.action_at_crash().to_owned(),
        })
    }

    fn dump_reply(&self) -> DumpReply {
        DumpReply::AtEndOfItsOwn
    }

    fn process(&self) -> Option<i32> {
        match self.target.libvirt.process_file(&self.domain.name) {
            Some(file) => process_of(&file, self.domain.uuid),
            None => process_with(self.domain.uuid),
        }
    }

    fn reconnect(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        // The daemon that could open it is gone.
        if self.dump.is_none() {
            self.pipe = None;
        }
        let uuid = self.domain.uuid.to_string();
        let opened = open(&self.target, &uuid, limits);
        let (client, domain, xml) = match opened {
            // One that is not kept when it ends.
            Err(error) if libvirt_code(&error) == Some(RemoteError::NO_DOMAIN) => {
                return Err(MonitorError::Ended { state: "gone".to_owned() });
            }
            other => other?,
        };
        (self.client, self.domain, self.xml) = (client, domain, xml);
        self.events.clear();
        self.ended = None;
        self.run_state(limits).map(|_| ())
    }

    fn run_state(&mut self, limits: &WaitLimits<'_>) -> Answer<RunState> {
        self.take_events();
        let answer = self.client.state(&self.domain, limits);
        if answer.as_ref().is_ok_and(|state| state.is_running()) {
            // It was started again. An end that is reported with this answer comes after it.
            self.ended = None;
        }
        self.take_events();
        match answer {
            Err(error) if libvirt_code(&error) == Some(RemoteError::NO_DOMAIN) => {
                Err(MonitorError::Ended { state: "gone".to_owned() })
            }
            other => run_state(other?),
        }
    }

    fn guest_name(&mut self, _: &WaitLimits<'_>) -> Answer<Option<String>> {
        Ok(Some(self.domain.name.clone()))
    }

    fn guest_uuid(&mut self, _: &WaitLimits<'_>) -> Answer<Option<String>> {
        Ok(Some(self.domain.uuid.to_string()))
    }

    fn memory_size(&mut self, _: &WaitLimits<'_>) -> Answer<Option<MemorySize>> {
        Ok(self.xml.memory_bytes.map(|base| MemorySize { base, plugged: 0 }))
    }

    fn machine(&mut self, _: &WaitLimits<'_>) -> Answer<Option<String>> {
        Ok(self.xml.machine.clone())
    }

    fn architecture(&mut self, _: &WaitLimits<'_>) -> Answer<Option<String>> {
        Ok(self.xml.architecture.clone())
    }

    fn uses_kvm(&mut self, _: &WaitLimits<'_>) -> Answer<Option<bool>> {
        Ok(self.xml.hypervisor.as_deref().map(|hypervisor| hypervisor == "kvm"))
    }

    fn dump_formats(&mut self, _: &WaitLimits<'_>) -> Answer<Option<Vec<String>>> {
        Ok(None)
    }

    fn migration_blockers(&mut self, _: &WaitLimits<'_>) -> Answer<Option<Vec<String>>> {
        Ok(None)
    }

    fn memory_encrypted(&mut self, _: &WaitLimits<'_>) -> Answer<Option<bool>> {
        Ok(Some(self.xml.launch_security.is_some()))
    }

    fn cpus(&mut self, _: &WaitLimits<'_>) -> Answer<Option<Vec<CpuPath>>> {
        let count = self.xml.vcpus.and_then(|count| u32::try_from(count).ok());
        let cpu = |index| CpuPath { index, path: String::new() };
        // No libvirt has so many.
        Ok(count.map(|count| (0..count.min(65_536)).map(cpu).collect()))
    }

    fn crash_information(&mut self, _: &CpuPath, _: &WaitLimits<'_>) -> Answer<CrashInformation> {
        Ok(CrashInformation::Unknown)
    }

    fn ask_as_person(&mut self, command: &str, limits: &WaitLimits<'_>) -> Answer<Option<String>> {
        if !self.target.may_taint {
            return Ok(None);
        }
        let answer = self.client.ask_qemu(&self.domain, command, limits);
        self.take_events();
        answer.map(Some)
    }

    // libvirt does not tell which kind of job it is; none lets the guest be dumped.
    fn dump_status(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<DumpStatus>> {
        self.look_at_dump();
        let job = self.client.job(&self.domain, limits);
        self.take_events();
        let job = match job {
            Ok(job) => job,
            // Of a domain that does not run.
            Err(MonitorError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let active = self.dump.is_some() || job.is_active();
        let status = if active { "active" } else { "none" }.to_owned();
        Ok(Some(DumpStatus { status, completed: job.memory_processed, total: job.memory_total }))
    }

    fn pass_pipe(&mut self, pipe: BorrowedFd<'_>, _: &WaitLimits<'_>) -> Answer<()> {
        let pipe = PassedPipe::new(pipe).map_err(|source| MonitorError::Broken {
            by: Manager::Libvirt,
            during: "the preparation of the dump's pipe".to_owned(),
            source,
        })?;
        self.pipe = Some(pipe);
        Ok(())
    }

    fn close_stale_pipe(&mut self, _: &WaitLimits<'_>) -> Answer<()> {
        Ok(())
    }

    fn take_back_pipe(&mut self, _: &WaitLimits<'_>) {
        if self.dump.is_none() {
            self.pipe = None;
        }
    }

    fn begin_dump(&mut self, part: DumpPart, limits: &WaitLimits<'_>) -> Answer<CommandId> {
        let unknown = |found: &str| MonitorError::Unexpected {
            by: Manager::Libvirt,
            command: "a dump".to_owned(),
            found: found.to_owned(),
        };
        if let DumpPart::Range(..) = part {
            return Err(unknown("it has none of a range"));
        }
        let pipe = self.pipe.as_ref().ok_or_else(|| unknown("there is no pipe for it"))?;
        let dump = CoreDump::begin(&self.target.libvirt, &self.domain, pipe, limits)?;
        let id = dump.command();
        self.dump = Some(dump);
        Ok(id)
    }

    fn dump_sends(&mut self) {
        self.pipe = None;
    }

    fn peek(&mut self, at: u64, length: u64, limits: &WaitLimits<'_>) -> Answer<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < length {
            let most = length.saturating_sub(done).min(MAX_PEEK.into());
            let most = u32::try_from(most).unwrap_or(MAX_PEEK);
            let part = self.client.peek(&self.domain, at.saturating_add(done), most, limits)?;
            if part.len() as u64 != u64::from(most) {
                return Err(MonitorError::Unexpected {
                    by: Manager::Libvirt,
                    command: "virDomainMemoryPeek".to_owned(),
                    found: format!("{} bytes of {most}", part.len()),
                });
            }
            bytes.extend(part);
            done = done.saturating_add(most.into());
        }
        self.take_events();
        Ok(Some(bytes))
    }

    fn wait(
        &mut self,
        during: &str,
        limits: &WaitLimits<'_>,
        wakers: &[BorrowedFd<'_>],
    ) -> Answer<WaitResult> {
        let limits = WaitLimits { until: Some(limits.deadline()), ..*limits };
        self.take_events();
        loop {
            self.look_at_dump();
            if let Some(event) = self.events.pop_front() {
                return Ok(WaitResult::Event(event));
            }
            if let Some((id, result)) = self.reply.take() {
                return Ok(WaitResult::Reply(id, result));
            }
            if let Some(state) = &self.ended {
                return Err(MonitorError::Ended { state: state.clone() });
            }
            let mut fds = wakers.to_vec();
            fds.extend(self.dump.as_ref().map(CoreDump::descriptor));
            fds.extend(self.pipe.as_ref().map(PassedPipe::first_bytes));
            match self.client.wait(during, &limits, &fds)? {
                Received::Event(event) => self.take(&event),
                Received::Reply(..) => {}
                Received::Woken => {
                    self.look_at_dump();
                    if self.reply.is_none() {
                        return Ok(WaitResult::Woken);
                    }
                }
                Received::Nothing => return Ok(WaitResult::Nothing),
            }
        }
    }

    fn take_event(&mut self) -> Option<Event> {
        self.take_events();
        self.events.pop_front()
    }

    fn forget_events(&mut self) {
        self.take_events();
        self.events.clear();
    }

    fn guest_events(&self) -> &[GuestEvent] {
        &self.guest_events
    }

    fn take_guest_events(&mut self) -> Vec<GuestEvent> {
        self.take_events();
        std::mem::take(&mut self.guest_events)
    }

    fn pause_on_panic(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        if self.xml.preserves() {
            return Ok(());
        }
        if !self.target.preserve_on_crash {
            let refusal = Refusal {
                class: "on_crash".to_owned(),
                description: self.xml.action_at_crash().to_owned(),
                code: None,
            };
            let command = "to hold the guest at a panic".to_owned();
            return Err(MonitorError::Refused { by: Manager::Libvirt, command, refusal });
        }
        self.order(|client, domain| client.preserve_on_crash(domain, limits))?;
        self.xml.on_crash = Some("preserve".to_owned());
        Ok(())
    }

    fn stop(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(|client, domain| client.suspend(domain, limits))
    }

    fn resume(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(|client, domain| client.resume(domain, limits))
    }

    fn reset(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(|client, domain| client.reset(domain, limits))
    }

    fn quit(&mut self, limits: &WaitLimits<'_>) -> Answer<()> {
        self.order(|client, domain| client.destroy(domain, limits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_libvirt_is_a_run_state_of_qemu() {
        for (state, reason, status, running) in [
            (1, 5, "running", true),
            (1, 9, "running", true),
            (3, 1, "paused", false),
            (3, 4, "paused", false),
            (3, 10, "prelaunch", false),
            (6, 1, "guest-panicked", false),
            (6, 0, "internal-error", false),
            (7, 0, "suspended", false),
        ] {
            let found = run_state(DomainState { state, reason }).unwrap();
            assert_eq!((found.status.as_str(), found.running), (status, running));
        }
        let ended = run_state(DomainState { state: 5, reason: 2 }).unwrap_err();
        assert!(ended.is_end_of_qemu());
        assert_eq!(
            ended.to_string(),
            "the guest does not run: libvirt says that it is shut off (destroyed)"
        );
    }
}
