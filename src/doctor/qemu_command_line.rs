//! What a QEMU's command line says: its guest's name, its manager, what it does at a panic.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

/// The most bytes of a command line that are read. libvirt's own are of some KiB.
const MAX_LENGTH: u64 = 1 << 20;

/// The arguments of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QemuCommandLine {
    arguments: Vec<String>,
}

impl QemuCommandLine {
    /// Those of a process, if the system shows them.
    pub(super) fn of(process: i32) -> Option<Self> {
        let mut bytes = Vec::new();
        let file = File::open(format!("/proc/{process}/cmdline")).ok()?;
        file.take(MAX_LENGTH).read_to_end(&mut bytes).ok()?;
        let arguments = bytes.split(|byte| *byte == 0);
        let arguments: Vec<_> =
            arguments.map(|argument| String::from_utf8_lossy(argument).into_owned()).collect();
        let program = arguments.first()?.rsplit('/').next().unwrap_or_default();
        let is_qemu = program.starts_with("qemu") || program.starts_with("kvm");
        is_qemu.then_some(Self { arguments })
    }

    /// The values of an option, which may have one or two dashes.
    fn values<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.arguments.iter().zip(self.arguments.iter().skip(1));
        let values = pairs.filter(move |(name, _)| is_option(name, option));
        values.map(|(_, value)| value.as_str())
    }

    /// The guest's name.
    pub(super) fn guest_name(&self) -> Option<String> {
        // QEMU reads two commas as one that is no separator.
        let value = self.values("name").last()?.replace(",,", "\0");
        let name = value.split(',').next().unwrap_or_default();
        Some(name.strip_prefix("guest=").unwrap_or(name).replace('\0', ","))
    }

    /// The guest's UUID.
    pub(super) fn uuid(&self) -> Option<&str> {
        self.values("uuid").last()
    }

    /// The libvirt domain that this QEMU is of.
    pub(super) fn libvirt_domain(&self) -> Option<String> {
        let is_of_libvirt =
            self.values("chardev").any(|value| value.starts_with("socket,id=charmonitor"));
        is_of_libvirt.then(|| self.guest_name()).flatten()
    }

    /// What QEMU does at a panic, unless a client has set something else: `pause`, `shutdown`,
    /// `exit-failure` or `none`.
    pub(super) fn at_panic(&self) -> &str {
        let actions = || self.values("action").flat_map(|value| value.split(','));
        let last = |key: &str| actions().filter_map(|action| action.strip_prefix(key)).last();
        let stays = self.arguments.iter().any(|argument| is_option(argument, "no-shutdown"))
            || last("shutdown=") == Some("pause");
        match last("panic=").unwrap_or("shutdown") {
            "shutdown" if stays => "pause",
            action => action,
        }
    }
}

/// The processes of QEMU that the system shows, by the UUIDs of their guests.
pub(super) fn processes() -> BTreeMap<String, i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_qemu = processes.filter_map(|process: i32| {
        Some((QemuCommandLine::of(process)?.uuid()?.to_owned(), process))
    });
    of_qemu.collect()
}

fn is_option(argument: &str, option: &str) -> bool {
    argument.strip_prefix('-').is_some_and(|name| name.strip_prefix('-').unwrap_or(name) == option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> QemuCommandLine {
        QemuCommandLine { arguments: text.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn a_panic_pauses_a_guest_whose_shutdown_does() {
        for (text, action) in [
            ("qemu", "shutdown"),
            ("qemu -no-shutdown", "pause"),
            ("qemu --no-shutdown -action panic=exit-failure", "exit-failure"),
            ("qemu -action panic=pause,reboot=reset", "pause"),
            ("qemu -action shutdown=pause", "pause"),
            ("qemu -action panic=pause -action panic=none", "none"),
            ("qemu -no-shutdown -action panic=shutdown", "pause"),
        ] {
            assert_eq!(line(text).at_panic(), action, "{text}");
        }
    }

    #[test]
    fn a_domain_of_libvirt_is_recognised_by_its_monitor() {
        let libvirt = "qemu -name guest=g1,debug-threads=on \
                       -chardev socket,id=charmonitor,fd=24,server=on,wait=off";
        assert_eq!(line(libvirt).libvirt_domain().as_deref(), Some("g1"));
        assert_eq!(line("qemu -name web").libvirt_domain(), None);
        assert_eq!(line("qemu -name web").guest_name().as_deref(), Some("web"));
        assert_eq!(line("qemu -name guest=a,,b,x=y").guest_name().as_deref(), Some("a,b"));
        assert_eq!(line("qemu").guest_name(), None);
        assert_eq!(line("qemu -uuid u-1 -m 1G").uuid(), Some("u-1"));
    }

    #[test]
    fn a_process_that_is_no_qemu_has_no_command_line_of_one() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(QemuCommandLine::of(own), None);
    }
}
