//! What GUEST may be: the path of a QMP socket.

use std::path::PathBuf;

use super::exit::UsageError;

/// The socket that `guest` names.
///
/// # Errors
/// Fails for what is no path: names of libvirt, and addresses of the network,
/// over which no descriptor can be passed.
pub(super) fn socket(guest: &str) -> Result<PathBuf, UsageError> {
    let error = |message: String, hint: &str| UsageError { message, hint: Some(hint.to_owned()) };
    if let Some(name) = guest.strip_prefix("libvirt:") {
        return Err(error(
            format!("guests of libvirt ({name}) cannot be captured by name"),
            "give the guest a second QMP socket with <qemu:commandline>, and its path here",
        ));
    }
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
    }) && !std::path::Path::new(guest).exists()
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
    fn what_cannot_pass_a_descriptor_is_refused_with_the_reason() {
        for guest in ["tcp:localhost:4444", "localhost:4444", "10.0.0.1:4444", "libvirt:web"] {
            assert!(socket(guest).is_err(), "{guest}");
        }
    }
}
