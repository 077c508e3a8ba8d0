//! What a QEMU's command line says: its guest's name, its manager, what it does at a panic.
//!
//! Needs: a process that the system shows. Gives: options by their names. A program of any name
//! may be an emulator; whether it is QEMU's own is asked where any process may come.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

/// The most bytes of a command line that are read. libvirt's own are of some KiB.
const MAX_LENGTH: u64 = 1 << 20;

/// The arguments of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QemuCommandLine {
    arguments: Vec<String>,
}

impl QemuCommandLine {
    /// Those of a process, if the system shows them.
    pub(crate) fn of(process: i32) -> Option<Self> {
        let mut bytes = Vec::new();
        let file = File::open(format!("/proc/{process}/cmdline")).ok()?;
        file.take(MAX_LENGTH).read_to_end(&mut bytes).ok()?;
        // A process that has ended has none.
        (!bytes.is_empty()).then(|| Self::decode(&bytes))
    }

    /// The same, if the program has the name of a QEMU.
    pub(crate) fn of_qemu(process: i32) -> Option<Self> {
        Self::of(process).filter(|line| {
            let program = line.arguments.first().and_then(|path| path.rsplit('/').next());
            program.is_some_and(|name| name.starts_with("qemu") || name.starts_with("kvm"))
        })
    }

    /// Arguments as the system has them: each with a zero byte behind it.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let arguments = bytes.split(|byte| *byte == 0);
        let text = |argument| String::from_utf8_lossy(argument).into_owned();
        Self { arguments: arguments.map(text).collect() }
    }

    /// The values of an option, which may have one or two dashes.
    fn values<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.arguments.iter().zip(self.arguments.iter().skip(1));
        let values = pairs.filter(move |(name, _)| is_option(name, option));
        values.map(|(_, value)| value.as_str())
    }

    /// The guest's name.
    pub(crate) fn guest_name(&self) -> Option<String> {
        // QEMU reads two commas as one that is no separator.
        let value = self.values("name").last()?.replace(",,", "\0");
        let name = value.split(',').next().unwrap_or_default();
        Some(name.strip_prefix("guest=").unwrap_or(name).replace('\0', ","))
    }

    /// The guest's UUID.
    pub(crate) fn uuid(&self) -> Option<&str> {
        self.values("uuid").last()
    }

    /// Whether libvirt started this QEMU: its own monitor has this name.
    pub(crate) fn is_of_libvirt(&self) -> bool {
        self.values("chardev").any(|value| value.split(',').any(|part| part == "id=charmonitor"))
    }

    /// The libvirt domain that this QEMU is of.
    pub(crate) fn libvirt_domain(&self) -> Option<String> {
        self.is_of_libvirt().then(|| self.guest_name()).flatten()
    }

    /// What QEMU does at a panic, unless a client has set something else: `pause`, `shutdown`,
    /// `exit-failure` or `none`.
    pub(crate) fn at_panic(&self) -> &str {
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
pub(crate) fn processes() -> BTreeMap<String, i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let of_qemu = processes.filter_map(|process: i32| {
        Some((QemuCommandLine::of_qemu(process)?.uuid()?.to_owned(), process))
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
        QemuCommandLine::decode(text.replace(' ', "\0").as_bytes())
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
        assert_eq!(QemuCommandLine::of_qemu(own), None);
        assert!(QemuCommandLine::of(own).is_some_and(|line| !line.is_of_libvirt()));
        assert_eq!(QemuCommandLine::of(0), None);
    }
}
