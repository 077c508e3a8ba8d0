//! Whether this host and this user could take a capture: the store, its space, rights, what
//! earlier captures left behind.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Access, access};

use super::Scope;
use super::facts::{GuestFacts, MonitorState};
use super::finding::Finding;
use crate::monitor::WaitLimits;
use crate::monitor::libvirt::pipe_access::PipeAccess;
use crate::monitor::libvirt::{Access as LibvirtAccess, Address, Client, stale_pipes};
use crate::store::space::{Fit, Forecast, Space};
use crate::store::watcher_lock;
use crate::units::bytes;

/// Looks at what concerns all guests.
pub(super) fn check(scope: &Scope, store: &Path) -> Vec<Finding> {
    let mut found = vec![watcher(store), writable(store)];
    found.extend(libvirt(scope));
    let folder = scope.libvirt.as_ref().map(Address::folder_for_pipes);
    found.extend(folder.iter().flat_map(|folder| pipes_left_behind(folder)));
    found
}

fn watcher(store: &Path) -> Finding {
    const CHECK: &str = "watch";
    match watcher_lock::is_held(store) {
        true => Finding::good(CHECK, "watch runs, and captures to this store"),
        false => Finding::note(CHECK, "watch does not run: a panic is captured by hand")
            .mended_by("systemctl enable --now vmcorectl-watch"),
    }
}

/// The nearest directory that exists, at a path or above it.
pub(super) fn existing(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."))
}

fn writable(store: &Path) -> Finding {
    const CHECK: &str = "store";
    let folder = existing(store);
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::good(CHECK, format!("the store {} can be written", store.display())),
        Err(error) => {
            let text = format!("nothing can be written in {}: {error}", folder.display());
            Finding::problem(CHECK, text).mended_by("run it as root, or give --store DIR")
        }
    }
}

/// Whether libvirt lets this user do more than look, and how its dumps come.
fn libvirt(scope: &Scope) -> Vec<Finding> {
    const CHECK: &str = "libvirt";
    let Some(address) = &scope.libvirt else { return Vec::new() };
    let limits = WaitLimits { timeout: scope.timeout, until: None, interrupt: None };
    let connect = |access| Client::connect(address, access, &limits);
    let client = match (connect(LibvirtAccess::ReadWrite), connect(LibvirtAccess::ReadOnly)) {
        (Ok(client), _) => client,
        (Err(error), Ok(_)) => {
            let text = format!("libvirt lets this user look only: {error}");
            return vec![Finding::problem(CHECK, text).mended_by("run it as root")];
        }
        // There is none, or the guest says so.
        (Err(_), Err(_)) => return Vec::new(),
    };
    let version = client.version();
    let version = if (version.major, version.minor) < (11, 3) {
        Finding::note(
            CHECK,
            format!(
                "libvirt {version}: a dump through a second QMP socket of a domain ends libvirtd \
                 before 11.3; capture domains as libvirt:NAME only"
            ),
        )
    } else {
        Finding::good(CHECK, format!("libvirt {version} lets this user capture"))
    };
    vec![version, dump_pipe(&PipeAccess::of(&client), &address.folder_for_pipes())]
}

/// How libvirt's daemon gets at the pipe of a dump.
fn dump_pipe(pipe: &PipeAccess, folder: &Path) -> Finding {
    const CHECK: &str = "dump-pipe";
    let reason = match pipe {
        PipeAccess::Path(None) => {
            return Finding::good(CHECK, "libvirtd may open the pipe of a capture (/proc/PID/fd)");
        }
        PipeAccess::Path(Some(profile)) => {
            format!("libvirtd is confined ({profile}), which may keep it from /proc/PID/fd")
        }
        PipeAccess::OtherProcesses => "libvirtd has other process numbers".to_owned(),
        PipeAccess::Forbidden => {
            "libvirtd may not open files of this user's processes (/proc/PID/fd)".to_owned()
        }
    };
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => {
            let text =
                format!("{reason}: a dump then comes by a named pipe in {}", folder.display());
            Finding::note(CHECK, text)
        }
        Err(error) => {
            let text =
                format!("{reason}, and no named pipe can be made in {}: {error}", folder.display());
            let finding = match pipe {
                PipeAccess::Path(_) => Finding::warning(CHECK, text),
                _ => Finding::problem(CHECK, text),
            };
            finding.mended_by("run it as root, or as the user of libvirtd")
        }
    }
}

/// Named pipes of captures that were killed: libvirt hangs if it opens one.
fn pipes_left_behind(folder: &Path) -> Vec<Finding> {
    stale_pipes::find(folder).iter().map(|path| left_behind(path)).collect()
}

fn left_behind(path: &Path) -> Finding {
    let path = path.display();
    let text =
        format!("a capture that was killed left {path} behind: libvirt hangs if it opens it");
    Finding::warning("pipes", text)
        .mended_by(format!("timeout 2 cat {path}/core > /dev/null; rm -r {path}"))
}

/// Whether a guest's core will fit.
pub(super) fn space(facts: &GuestFacts, store: &Path, keep_free: Option<u64>) -> Finding {
    const CHECK: &str = "space";
    let Ok(space) = Space::of(store) else {
        return Finding::note(CHECK, format!("the free space in {} is not known", store.display()));
    };
    let reserve = keep_free.unwrap_or_else(|| space.default_reserve());
    let forecast = Forecast::of(facts.used_bytes, facts.memory_bytes);
    let have =
        format!("{} are free, of which {} stay free", bytes(space.available), bytes(reserve));
    let Some(worst) = forecast.worst else {
        return Finding::note(CHECK, format!("how much a core needs is not known; {have}"));
    };
    let needs = format!("a core needs about {}, {} at most", bytes(forecast.needed), bytes(worst));
    let make_room = |needed: u64| {
        let mebibytes = needed.saturating_add(reserve).div_ceil(1 << 20);
        format!("vmcorectl prune --min-free {mebibytes}M, or --store DIR on another file system")
    };
    let text = format!("{needs}; {have}");
    match forecast.fit(&space, reserve) {
        Fit::Fits => Finding::good(CHECK, text),
        Fit::MayNotFit => Finding::warning(CHECK, text).mended_by(make_room(worst)),
        Fit::TooLittle => Finding::problem(CHECK, text).mended_by(make_room(forecast.needed)),
    }
}

/// Whether this user may read QEMU's memory, and whether libvirt sees our pipes.
pub(super) fn rights(facts: &GuestFacts) -> Option<Finding> {
    const CHECK: &str = "direct-read";
    let process = facts.process?;
    // The system checks the rights of a debugger when the file is opened.
    let memory = File::open(format!("/proc/{process}/mem"));
    Some(match memory {
        Ok(_) => Finding::good(CHECK, format!("QEMU's memory ({process}) can be read directly")),
        Err(error) => {
            let text = format!("QEMU's memory ({process}) cannot be read directly: {error}");
            let finding = Finding::note(CHECK, text);
            match facts.monitor {
                MonitorState::Libvirt => finding.mended_by("run it as root"),
                _ => finding.mended_by("run it as the user of QEMU, or as root"),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    #[test]
    fn without_a_way_to_the_pipe_of_a_dump_there_is_no_capture() {
        let folder = tempfile::tempdir().unwrap();
        let severity = |pipe: PipeAccess, folder: &Path| dump_pipe(&pipe, folder).severity;
        let profile = || PipeAccess::Path(Some("libvirtd (enforce)".to_owned()));
        let none = folder.path().join("none");
        for (pipe, with_folder, without) in [
            (PipeAccess::Path(None), Severity::Good, Severity::Good),
            (profile(), Severity::Note, Severity::Warning),
            (PipeAccess::OtherProcesses, Severity::Note, Severity::Problem),
            (PipeAccess::Forbidden, Severity::Note, Severity::Problem),
        ] {
            assert_eq!(severity(pipe.clone(), folder.path()), with_folder);
            assert_eq!(severity(pipe, &none), without);
        }
    }

    #[test]
    fn own_memory_can_be_read_directly() {
        let own = i32::try_from(std::process::id()).ok();
        let facts = GuestFacts { process: own, ..GuestFacts::default() };
        assert_eq!(rights(&facts).unwrap().severity, Severity::Good);
        assert_eq!(rights(&GuestFacts::default()), None);
    }
}
