//! Whether a QEMU belongs to libvirt, and whether that survives a dump that it did not begin.
//!
//! libvirt before 11.3 ends with a segmentation fault when QEMU reports the end of such a
//! dump, as of one by a second QMP socket: 9.0.0 did so each time, and 11.3.0 did not. Its
//! guests run on without a manager.

use std::fs;
use std::path::Path;

use vmcore_formats::libvirt::domain::Uuid;
use vmcore_formats::libvirt::reply::LibvirtVersion;
use vmcore_formats::text::{MAX_NAME, bounded};

use super::address::Address;
use super::client::{Access, Client};
use crate::monitor::qemu_command_line::{QemuCommandLine, processes};
use crate::monitor::{Answer, MonitorError, WaitLimits};

/// The first version that is known to survive it.
const SURVIVES: LibvirtVersion = LibvirtVersion { major: 11, minor: 3, release: 0 };

/// The domain that a QEMU is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    /// Its name.
    name: Option<String>,
    /// Its UUID.
    uuid: Option<String>,
}

/// Fails if the QEMU behind a QMP socket belongs to a libvirt that its dump would end.
///
/// `uuid` gives the guest's. It is asked for where the system does not show QEMU's command line,
/// as that of a process in another namespace: libvirt knows its domains by it.
pub(crate) fn refuse_dump(
    socket: &Path,
    process: Option<i32>,
    uuid: impl FnOnce() -> Answer<Option<String>>,
    libvirt: Option<&Address>,
    limits: &WaitLimits<'_>,
) -> Answer<()> {
    let line = process.and_then(QemuCommandLine::of);
    let owned = match line.as_ref().and_then(of_command_line).or_else(|| of_path(socket)) {
        Some(owned) => owned,
        None if line.is_some() => return Ok(()),
        None => match libvirt.zip(uuid()?).and_then(|(address, uuid)| of(address, uuid, limits)) {
            Some(owned) => owned,
            None => return Ok(()),
        },
    };
    let version = libvirt.and_then(|address| version(address, &owned, limits));
    match version {
        Some(version) if version >= SURVIVES => Ok(()),
        version => Err(MonitorError::OfLibvirt {
            domain: owned.name.unwrap_or_else(|| "NAME".to_owned()),
            version: version.map_or_else(
                || "whose version could not be found out".to_owned(),
                |version| format!("version {version}"),
            ),
        }),
    }
}

/// The version of the libvirt that has the domain.
fn version(address: &Address, owned: &Owned, limits: &WaitLimits<'_>) -> Option<LibvirtVersion> {
    let mut client = Client::connect(address, Access::ReadOnly, limits).ok()?;
    // Another libvirt may be of another version.
    let name = owned.uuid.as_ref().or(owned.name.as_ref())?;
    client.lookup(name, limits).ok()?;
    Some(client.version())
}

/// The domain that libvirt has by this UUID.
fn of(address: &Address, uuid: String, limits: &WaitLimits<'_>) -> Option<Owned> {
    let mut client = Client::connect(address, Access::ReadOnly, limits).ok()?;
    let name = client.lookup(&uuid, limits).ok()?.name;
    Some(Owned { name: Some(name), uuid: Some(uuid) })
}

/// The domain, if a socket is where libvirt listens for its QEMU. The process that did so may
/// have ended.
fn of_path(socket: &Path) -> Option<Owned> {
    let folder = socket.parent()?.file_name()?.to_str()?;
    let domain = folder.strip_prefix("domain-")?;
    let is_libvirts = socket.file_name().is_some_and(|name| name == "monitor.sock");
    let (_, name) = domain.split_once('-')?;
    is_libvirts.then(|| Owned { name: Some(bounded(name, MAX_NAME)), uuid: None })
}

/// The process of a domain's QEMU, if libvirt's file of it is there and right.
pub(super) fn process_of(file: &Path, uuid: Uuid) -> Option<i32> {
    let process: i32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    is_of(process, uuid).then_some(process)
}

/// The process of a domain's QEMU among all that the system shows.
pub(super) fn process_with(uuid: Uuid) -> Option<i32> {
    let process = processes().remove(&uuid.to_string())?;
    is_of(process, uuid).then_some(process)
}

/// Whether a process is a QEMU of libvirt with this guest.
fn is_of(process: i32, uuid: Uuid) -> bool {
    let owned = QemuCommandLine::of(process).and_then(|line| of_command_line(&line));
    owned.and_then(|owned| owned.uuid).is_some_and(|found| found.parse() == Ok(uuid))
}

/// The domain, if a command line is that of a QEMU of libvirt.
fn of_command_line(line: &QemuCommandLine) -> Option<Owned> {
    line.is_of_libvirt().then(|| Owned {
        name: line.guest_name().map(|name| bounded(&name, MAX_NAME)),
        uuid: line.uuid().map(|uuid| bounded(uuid, MAX_NAME)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qemu_of_libvirt_is_recognised_by_its_command_line() {
        let line = b"/usr/bin/qemu-system-x86_64\0-name\0guest=a,,b,debug-threads=on\0-uuid\0\
            c0ffee00-0000-4000-8000-000000000003\0-chardev\0socket,id=charmonitor,fd=31\0";
        let of = |line: &[u8]| of_command_line(&QemuCommandLine::decode(line));
        let owned = of(line).unwrap();
        assert_eq!(owned.name.as_deref(), Some("a,b"));
        assert_eq!(owned.uuid.as_deref(), Some("c0ffee00-0000-4000-8000-000000000003"));
        assert_eq!(of(b"qemu-system-x86_64\0-name\0guest=a\0-qmp\0unix:/a\0"), None);
        assert_eq!(of(b""), None);
        let other = b"/opt/emulator\0-chardev\0socket,id=charmonitor,fd=31\0";
        assert_eq!(of(other), Some(Owned { name: None, uuid: None }));
    }

    #[test]
    fn a_process_that_is_another_is_not_the_guests() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web-3.pid");
        for content in [std::process::id().to_string(), "0".to_owned(), "no number".to_owned()] {
            fs::write(&file, content).unwrap();
            assert_eq!(process_of(&file, Uuid([1; 16])), None);
        }
        assert_eq!(process_of(&folder.path().join("none"), Uuid([1; 16])), None);
    }

    #[test]
    fn libvirts_own_socket_is_recognised_by_its_path() {
        let of = |path: &str| of_path(Path::new(path)).map(|owned| owned.name.unwrap());
        let name = of("/var/lib/libvirt/qemu/domain-12-web-3/monitor.sock");
        assert_eq!(name.as_deref(), Some("web-3"));
        for path in ["/run/web.qmp", "/run/domain-1-a/qmp.sock", "/run/qemu/monitor.sock", "m"] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
