//! What GUEST may be: the path of a QMP socket, or a domain of libvirt.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rustix::process::geteuid;

use super::exit::UsageError;
use crate::monitor::Target;
use crate::monitor::libvirt::{Address, DomainTarget, Environment};

/// Where libvirt is.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ConnectArgs {
    /// The libvirt of `libvirt:NAME`: `qemu:///system`, `qemu:///session`, or one of them with
    /// `?socket=PATH` [default: `$LIBVIRT_DEFAULT_URI`; else the system's for root, and the
    /// session's for others]
    #[arg(long, value_name = "URI")]
    connect: Option<String>,
}

impl ConnectArgs {
    /// The libvirt that was named, or the default one.
    pub(super) fn address(&self) -> Result<Address, UsageError> {
        Address::new(self.connect.as_deref(), &environment()).map_err(|error| UsageError {
            message: error.to_string(),
            hint: Some(error.hint().to_owned()),
        })
    }

    /// Whether one was named.
    pub(super) fn is_given(&self) -> bool {
        self.connect.is_some()
    }

    /// The guest, if ENTRY is one and no stored core.
    pub(super) fn target_of_entry(&self, entry: &str) -> Result<Option<Target>, UsageError> {
        let is_socket =
            |path: &Path| fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
        let is_guest =
            entry.starts_with("unix:") || entry.starts_with(DOMAIN) || is_socket(Path::new(entry));
        if is_guest { self.target(entry).map(Some) } else { Ok(None) }
    }

    /// What `guest` names.
    pub(super) fn target(&self, guest: &str) -> Result<Target, UsageError> {
        let Some(name) = guest.strip_prefix(DOMAIN) else {
            // Which libvirt it may belong to; another is no error of a guest by its socket.
            let libvirt = match self.connect {
                Some(_) => Some(self.address()?),
                None => self.address().ok(),
            };
            return Ok(Target::Socket { path: socket(guest)?, libvirt });
        };
        if name.is_empty() {
            return Err(UsageError {
                message: "libvirt: has to be followed by the domain's name or UUID".to_owned(),
                hint: Some("`virsh list` shows the names".to_owned()),
            });
        }
        let (name, libvirt) = (name.to_owned(), self.address()?);
        Ok(Target::Domain(DomainTarget {
            name,
            libvirt,
            preserve_on_crash: false,
            may_taint: false,
        }))
    }
}

/// What libvirt's own clients look at, too.
pub(super) fn environment() -> Environment {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || Some(folder("HOME")?.join(".cache"));
    let config = || folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
    let of_user = || Some(config()?.join("libvirt/auth.conf"));
    let files_of_credentials = match folder("LIBVIRT_AUTH_FILE") {
        Some(file) => vec![file],
        None => of_user().into_iter().chain([PathBuf::from("/etc/libvirt/auth.conf")]).collect(),
    };
    Environment {
        default_uri: env::var("LIBVIRT_DEFAULT_URI").ok(),
        runtime_folder: folder("XDG_RUNTIME_DIR"),
        cache_folder: folder("XDG_CACHE_HOME").or_else(cache),
        files_of_credentials,
        is_root: geteuid().is_root(),
    }
}

/// What a domain of libvirt begins with.
pub(super) const DOMAIN: &str = "libvirt:";

/// The socket that `guest` names. Fails for addresses of the network, over which no
/// descriptor can be passed.
pub(super) fn socket(guest: &str) -> Result<PathBuf, UsageError> {
    let error = |message: String, hint: &str| UsageError { message, hint: Some(hint.to_owned()) };
    let scheme = guest.split_once(':').map(|(scheme, _)| scheme);
    if scheme == Some("tcp") || scheme == Some("telnet") || is_host_and_port(guest) {
        return Err(error(
            format!("{guest}: QMP over TCP cannot pass the descriptor that the dump goes through"),
            "give QEMU a unix socket: `-qmp unix:PATH,server=on,wait=off`",
        ));
    }
    let path = guest.strip_prefix("unix:").unwrap_or(guest);
    // QEMU's own way to say it may have its options behind it.
    Ok(PathBuf::from(path.split_once(",server").map_or(path, |(path, _)| path)))
}

fn is_host_and_port(guest: &str) -> bool {
    guest.rsplit_once(':').is_some_and(|(host, port)| {
        !host.contains('/') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    }) && !Path::new(guest).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_the_path_of_its_socket() {
        for (guest, path) in [
            ("/run/web.qmp", "/run/web.qmp"),
            ("unix:/run/web.qmp,server=on,wait=off", "/run/web.qmp"),
            ("./a:4444/qmp", "./a:4444/qmp"),
        ] {
            assert_eq!(socket(guest).unwrap(), PathBuf::from(path));
        }
    }

    #[test]
    fn a_domain_is_named_and_its_libvirt_given() {
        let connect = |uri: &str| ConnectArgs { connect: Some(uri.to_owned()) };
        let target = connect("qemu:///system").target("libvirt:web-3").unwrap();
        assert_eq!(target.to_string(), "libvirt:web-3");
        assert!(matches!(target, Target::Domain(_)));
        assert!(connect("qemu:///system").target("libvirt:").is_err());
        assert!(connect("qemu+ssh://host/system").target("libvirt:web-3").is_err());
        assert!(connect("qemu+ssh://host/system").target("/run/web.qmp").is_err());
    }

    #[test]
    fn what_cannot_pass_a_descriptor_is_refused_with_the_reason() {
        for guest in ["tcp:localhost:4444", "localhost:4444", "10.0.0.1:4444"] {
            assert!(socket(guest).is_err(), "{guest}");
        }
    }
}
