//! A guest's manager: what answers for its run state, dumps it and releases it.
//!
//! ```text
//! ask ──► run state, facts       pass a pipe ──► begin a dump
//! wait ──► events, replies       stop, resume, reset, quit
//! ```
//!
//! Needs: what names a guest ([`Target`]). Gives: a [`Monitor`]: QEMU's QMP socket ([`qmp`])
//! or libvirt ([`libvirt`]). Every wait has an end ([`WaitLimits`]). Does not decide anything
//! about the guest (`capture` does).

mod answers;
pub(crate) mod dump_pipe;
mod error;
mod guest_event;
pub mod libvirt;
pub(crate) mod qemu_command_line;
pub(crate) mod qemu_process;
pub mod qmp;
mod socket;
mod target;
mod wait_limits;

pub use answers::{
    CommandId, CpuPath, CrashInformation, DumpStatus, Event, GdbServer, MemorySize, Refusal,
    RunState, Version, WaitResult,
};
pub use error::{Manager, MonitorError};
pub use guest_event::GuestEvent;
pub use target::Target;
pub use wait_limits::WaitLimits;

use std::fmt;
use std::os::fd::BorrowedFd;

/// What a command of a monitor gives.
pub type Answer<T> = Result<T, MonitorError>;

/// Which part of a guest's memory a dump has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpPart {
    /// All of it.
    Whole {
        /// Whether the reply comes when the dump begins, and not when it has ended.
        detached: bool,
    },
    /// The range of physical addresses that begins here, and its length in bytes.
    Range(u64, u64),
}

/// When the reply to a dump comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpReply {
    /// When the dump begins. An event follows at its end.
    AtStart,
    /// When the dump has ended. Nothing else is answered before.
    AtEnd,
    /// When the dump has ended. All else is answered meanwhile.
    AtEndOfItsOwn,
}

/// Connects to the manager of a guest.
pub fn connect(target: &Target, limits: &WaitLimits<'_>) -> Answer<Box<dyn Monitor>> {
    Ok(match target {
        Target::Socket { path, .. } => Box::new(qmp::Client::connect(path, limits)?),
        Target::Domain(domain) => Box::new(libvirt::DomainMonitor::connect(domain, limits)?),
    })
}

/// Connects to the manager of a guest that is to be dumped. Fails if that would end the
/// libvirt that the guest belongs to.
pub fn connect_to_dump(target: &Target, limits: &WaitLimits<'_>) -> Answer<Box<dyn Monitor>> {
    let mut monitor = connect(target, limits)?;
    if let Target::Socket { path, libvirt } = target {
        let process = monitor.process();
        let uuid = || monitor.guest_uuid(limits);
        libvirt::owner::refuse_dump(path, process, uuid, libvirt.as_ref(), limits)?;
    }
    Ok(monitor)
}

/// A connection to the manager of a guest.
///
/// A fact that this manager or its version does not report is `Ok(None)`.
pub trait Monitor: fmt::Debug {
    /// What answers.
    fn manager(&self) -> Manager;
    /// QEMU's version.
    fn version(&self) -> Option<Version>;
    /// What is known of libvirt and the domain, if it is libvirt that answers.
    fn libvirt(&self) -> Option<libvirt::DomainFacts> {
        None
    }
    /// When the reply to a whole dump comes.
    fn dump_reply(&self) -> DumpReply;
    /// QEMU's process, or the one that opened its socket, if the system shows it.
    fn process(&self) -> Option<i32>;
    /// Connects again, in place of a connection that was lost.
    fn reconnect(&mut self, limits: &WaitLimits<'_>) -> Answer<()>;

    /// What the guest is doing.
    fn run_state(&mut self, limits: &WaitLimits<'_>) -> Answer<RunState>;
    /// Its name.
    fn guest_name(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<String>>;
    /// Its UUID.
    fn guest_uuid(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<String>>;
    /// How much memory it has.
    fn memory_size(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<MemorySize>>;
    /// QEMU's machine type.
    fn machine(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<String>>;
    /// QEMU's target.
    fn architecture(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<String>>;
    /// Whether KVM runs its vCPUs.
    fn uses_kvm(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<bool>>;
    /// The formats that QEMU can dump.
    fn dump_formats(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<Vec<String>>>;
    /// Why it cannot be migrated.
    fn migration_blockers(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<Vec<String>>>;
    /// Whether its memory is encrypted.
    fn memory_encrypted(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<bool>>;
    /// Its vCPUs.
    fn cpus(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<Vec<CpuPath>>>;
    /// What a vCPU reports of a crash.
    fn crash_information(
        &mut self,
        cpu: &CpuPath,
        limits: &WaitLimits<'_>,
    ) -> Answer<CrashInformation>;
    /// What QEMU's monitor for people answers to a command that only asks.
    ///
    /// Returns `Ok(None)` if this monitor has no such answers, or they are not to be asked for.
    fn ask_as_person(
        &mut self,
        _command: &str,
        _limits: &WaitLimits<'_>,
    ) -> Answer<Option<String>> {
        Ok(None)
    }
    /// Whether memory that the guest already uses is still on another host: a migration sends
    /// the rest when it is read.
    fn receives_memory(&mut self, _limits: &WaitLimits<'_>) -> Answer<bool> {
        Ok(false)
    }
    /// How far a dump is, of this client or another.
    fn dump_status(&mut self, limits: &WaitLimits<'_>) -> Answer<Option<DumpStatus>>;

    /// Passes the pipe that the next dump writes to.
    fn pass_pipe(&mut self, pipe: BorrowedFd<'_>, limits: &WaitLimits<'_>) -> Answer<()>;
    /// Has a pipe closed that an earlier capture left behind.
    fn close_stale_pipe(&mut self, limits: &WaitLimits<'_>) -> Answer<()>;
    /// Has a passed pipe closed that no dump took. Does not wait for the answer:
    /// the monitor may be silent, and the guest is to be released.
    fn take_back_pipe(&mut self, limits: &WaitLimits<'_>);
    /// Begins a dump into the pipe. [`Monitor::wait`] brings the reply.
    fn begin_dump(&mut self, part: DumpPart, limits: &WaitLimits<'_>) -> Answer<CommandId>;

    /// The first bytes of the dump that was begun came through its pipe.
    fn dump_sends(&mut self) {}
    /// Guest-physical memory, if it is to be had without a dump.
    ///
    /// Returns `Ok(None)` if it is not.
    fn peek(
        &mut self,
        _at: u64,
        _length: u64,
        _limits: &WaitLimits<'_>,
    ) -> Answer<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Has QEMU serve gdb at the other end of this connection. The guest stays as it is.
    ///
    /// Returns `Ok(GdbServer::Unsupported)` if this manager has no such thing without side effects.
    fn open_gdb_server(
        &mut self,
        _connection: BorrowedFd<'_>,
        _limits: &WaitLimits<'_>,
    ) -> Answer<GdbServer> {
        Ok(GdbServer::Unsupported)
    }
    /// Ends the server that was opened. The guest stays as it is.
    fn close_gdb_server(&mut self, _limits: &WaitLimits<'_>) -> Answer<()> {
        Ok(())
    }

    /// Waits for an event, a reply, or one of `wakers` to become readable.
    fn wait(
        &mut self,
        during: &str,
        limits: &WaitLimits<'_>,
        wakers: &[BorrowedFd<'_>],
    ) -> Answer<WaitResult>;
    /// The oldest event that was not taken yet.
    fn take_event(&mut self) -> Option<Event>;
    /// Drops the events that came so far, but for those of [`Monitor::guest_events`].
    fn forget_events(&mut self);
    /// What happened to the guest since [`Monitor::take_guest_events`]: each kind
    /// once, in the order of its first event.
    fn guest_events(&self) -> &[GuestEvent];
    /// The same, once. Other ways to take events do not take these.
    fn take_guest_events(&mut self) -> Vec<GuestEvent>;

    /// Has a panic stop the guest, and not shut it down.
    fn pause_on_panic(&mut self, limits: &WaitLimits<'_>) -> Answer<()>;
    /// Stops the guest.
    fn stop(&mut self, limits: &WaitLimits<'_>) -> Answer<()>;
    /// Lets the guest run.
    fn resume(&mut self, limits: &WaitLimits<'_>) -> Answer<()>;
    /// Resets the guest, which stays stopped.
    fn reset(&mut self, limits: &WaitLimits<'_>) -> Answer<()>;
    /// Ends the guest's QEMU.
    fn quit(&mut self, limits: &WaitLimits<'_>) -> Answer<()>;
}
