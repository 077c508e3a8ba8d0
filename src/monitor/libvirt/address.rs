//! Which socket a URI of libvirt names.
//!
//! ```text
//! qemu:///system                   /run/libvirt/virtqemud-sock, else libvirt-sock
//! qemu:///session                  the same names in $XDG_RUNTIME_DIR/libvirt
//! qemu:///system?socket=/path      that socket
//! qemu:///system?authfile=/path    users and passwords are there
//! ```

use std::path::{Path, PathBuf};

use thiserror::Error;

/// What decides where no URI is given, as for libvirt's own clients.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `LIBVIRT_DEFAULT_URI`.
    pub default_uri: Option<String>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_folder: Option<PathBuf>,
    /// `XDG_CACHE_HOME`, or `.cache` in the user's home: where libvirt's session is
    /// without a runtime folder.
    pub cache_folder: Option<PathBuf>,
    /// Where libvirt's clients have users and passwords; the first file that is there decides.
    pub files_of_credentials: Vec<PathBuf>,
    /// Whether the user is root, whose default is the system's libvirt.
    pub is_root: bool,
}

/// A libvirt on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What the daemon is asked to open.
    uri: String,
    /// Its sockets, in the order in which they are tried.
    sockets: Vec<PathBuf>,
    /// Whether the user named the socket itself.
    is_given: bool,
    /// Where named pipes for its daemon are made.
    folder_for_pipes: PathBuf,
    /// Where a user and a password for it may be.
    files_of_credentials: Vec<PathBuf>,
}

/// A domain of a libvirt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainTarget {
    /// Its name or UUID.
    pub name: String,
    /// Where libvirt is.
    pub libvirt: Address,
    /// Whether libvirt is to keep a guest that panics, before a panic is waited for.
    pub preserve_on_crash: bool,
    /// Whether QEMU may be asked past libvirt, which marks the domain as tainted.
    pub may_taint: bool,
}

/// A URI that names no libvirt that can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Another machine, or another way than the local socket.
    #[error("{uri}: only the libvirt of this machine can be reached, over its unix socket")]
    Remote {
        /// The URI.
        uri: String,
    },
    /// Another hypervisor.
    #[error("{uri}: only guests of QEMU can be captured")]
    NotQemu {
        /// The URI.
        uri: String,
    },
    /// No folder for a session's socket.
    #[error("{uri}: where the session's libvirt has its socket is not known")]
    NoSession {
        /// The URI.
        uri: String,
    },
}

impl AddressError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Remote { .. } => {
                "run vmcorectl on that machine: libvirt dumps into a file there, and sends it to no \
                 client"
            }
            Self::NotQemu { .. } => {
                "--connect takes qemu:///system, qemu:///session, or one of them with ?socket=PATH"
            }
            Self::NoSession { .. } => "set XDG_RUNTIME_DIR, or give qemu:///session?socket=PATH",
        }
    }
}

impl Address {
    /// The libvirt of a URI, or the default one.
    pub fn new(uri: Option<&str>, environment: &Environment) -> Result<Self, AddressError> {
        let default = if environment.is_root { "qemu:///system" } else { "qemu:///session" };
        let from_environment = environment.default_uri.as_deref().filter(|uri| !uri.is_empty());
        let uri = uri.or(from_environment).unwrap_or(default);
        let is_local = uri.starts_with("qemu:///") || uri.starts_with("qemu+unix:///");
        if !is_local {
            let is_qemu = uri.starts_with("qemu:") || uri.starts_with("qemu+");
            let uri = uri.to_owned();
            return Err(match is_qemu {
                true => AddressError::Remote { uri },
                false => AddressError::NotQemu { uri },
            });
        }
        let (name, query) = uri.split_once('?').unwrap_or((uri, ""));
        let daemon = match name.rsplit_once('/') {
            Some((_, "system")) => "qemu:///system",
            Some((_, "session")) => "qemu:///session",
            _ => return Err(AddressError::NotQemu { uri: uri.to_owned() }),
        };
        let parameter =
            |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let given = parameter("socket").filter(|path| !path.is_empty());
        let folder = match daemon {
            "qemu:///system" => Some(PathBuf::from("/run/libvirt")),
            _ => environment
                .runtime_folder
                .as_ref()
                .or(environment.cache_folder.as_ref())
                .map(|folder| folder.join("libvirt")),
        };
        let given = given.map(|path| PathBuf::from(unescaped(path)));
        // Its daemon sees the socket's folder, and may see no other one of these. /run itself
        // is there for daemons in containers, too.
        let beside = |folder: &Path| folder.parent().unwrap_or(folder).to_owned();
        let folder_for_pipes = given.as_deref().or(folder.as_deref()).map(beside);
        let is_given = given.is_some();
        let sockets = match (given, folder) {
            (Some(path), _) => vec![path],
            (None, Some(folder)) => {
                vec![folder.join("virtqemud-sock"), folder.join("libvirt-sock")]
            }
            (None, None) => return Err(AddressError::NoSession { uri: uri.to_owned() }),
        };
        let folder_for_pipes = folder_for_pipes.unwrap_or_default();
        let files_of_credentials = match parameter("authfile").filter(|path| !path.is_empty()) {
            Some(path) => vec![PathBuf::from(unescaped(path))],
            None => environment.files_of_credentials.clone(),
        };
        let uri = daemon.to_owned();
        Ok(Self { uri, sockets, is_given, folder_for_pipes, files_of_credentials })
    }

    /// What the daemon is asked to open.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The folder in which named pipes for its daemon are made: `/run`, the user's runtime
    /// folder, or that of a socket that was given.
    pub fn folder_for_pipes(&self) -> PathBuf {
        self.folder_for_pipes.clone()
    }

    /// Where a user and a password for it may be.
    pub(super) fn files_of_credentials(&self) -> &[PathBuf] {
        &self.files_of_credentials
    }

    /// The URI that names this libvirt to any client.
    pub fn full_uri(&self) -> String {
        match self.sockets.first() {
            Some(socket) if self.is_given => format!("{}?socket={}", self.uri, socket.display()),
            _ => self.uri.clone(),
        }
    }

    /// The file in which this libvirt keeps the process of a domain's QEMU. Returns `None` where
    /// that is not known: the socket was given.
    pub(super) fn process_file(&self, name: &str) -> Option<PathBuf> {
        let folder = self.sockets.first()?.parent()?;
        let folder = folder.join(if self.uri.ends_with("session") { "qemu/run" } else { "qemu" });
        (!self.is_given && !name.contains('/')).then(|| folder.join(format!("{name}.pid")))
    }

    /// The socket: the first that exists, or else the last, whose error is the best known.
    pub(super) fn socket(&self, read_only: bool) -> PathBuf {
        let sockets = self.sockets.iter().map(|socket| {
            // The user's choice is taken as it is.
            if read_only && !self.is_given { read_only_of(socket) } else { socket.clone() }
        });
        let mut last = PathBuf::new();
        for socket in sockets {
            if socket.exists() {
                return socket;
            }
            last = socket;
        }
        last
    }
}

fn read_only_of(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push("-ro");
    PathBuf::from(path)
}

/// A part of a URI without its escapes: `%2f` is `/`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(is_root: bool) -> Environment {
        let runtime_folder = Some(PathBuf::from("/run/user/1000"));
        Environment { runtime_folder, is_root, ..Environment::default() }
    }

    #[test]
    fn without_a_uri_root_gets_the_system_and_others_their_session() {
        let address = Address::new(None, &environment(true)).unwrap();
        assert_eq!(address.uri(), "qemu:///system");
        assert_eq!(address.sockets[1], Path::new("/run/libvirt/libvirt-sock"));
        let process = Path::new("/run/libvirt/qemu/web-3.pid");
        assert_eq!(address.process_file("web-3").as_deref(), Some(process));
        assert_eq!(address.process_file("../../x"), None);
        let address = Address::new(None, &environment(false)).unwrap();
        assert_eq!(address.uri(), "qemu:///session");
        assert_eq!(address.sockets[0], Path::new("/run/user/1000/libvirt/virtqemud-sock"));
        assert_eq!(address.folder_for_pipes(), Path::new("/run/user/1000"));
        let process = Path::new("/run/user/1000/libvirt/qemu/run/web-3.pid");
        assert_eq!(address.process_file("web-3").as_deref(), Some(process));
        let default_uri = Some("qemu:///session".to_owned());
        let set = Environment { default_uri, ..environment(true) };
        assert_eq!(Address::new(None, &set).unwrap().uri(), "qemu:///session");
        assert_eq!(Address::new(Some("qemu:///system"), &set).unwrap().uri(), "qemu:///system");
    }

    #[test]
    fn a_socket_may_be_given() {
        let uri = "qemu+unix:///session?mode=legacy&socket=/tmp/a%20b/libvirt-sock";
        let address = Address::new(Some(uri), &environment(true)).unwrap();
        assert_eq!(address.uri(), "qemu:///session");
        assert_eq!(address.socket(true), Path::new("/tmp/a b/libvirt-sock"));
        assert_eq!(address.full_uri(), "qemu:///session?socket=/tmp/a b/libvirt-sock");
        assert_eq!(address.folder_for_pipes(), Path::new("/tmp/a b"));
        assert_eq!(address.process_file("web-3"), None);
        assert!(address.files_of_credentials().is_empty());
        let uri = "qemu:///system?authfile=/etc/a%20b";
        let address = Address::new(Some(uri), &environment(true)).unwrap();
        assert_eq!(address.files_of_credentials(), [Path::new("/etc/a b")]);
        assert_eq!(address.full_uri(), "qemu:///system");
    }

    #[test]
    fn the_first_socket_that_exists_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let runtime_folder = Some(folder.path().to_owned());
        let environment = Environment { runtime_folder, ..environment(false) };
        let address = Address::new(None, &environment).unwrap();
        let socket = |name: &str| folder.path().join("libvirt").join(name);
        assert_eq!(address.socket(false), socket("libvirt-sock"));
        std::fs::create_dir(folder.path().join("libvirt")).unwrap();
        std::fs::write(socket("virtqemud-sock-ro"), "").unwrap();
        assert_eq!(address.socket(false), socket("libvirt-sock"));
        assert_eq!(address.socket(true), socket("virtqemud-sock-ro"));
    }

    #[test]
    fn what_cannot_be_reached_is_refused_with_the_reason() {
        for uri in ["qemu+ssh://host/system", "qemu://host/system", "qemu+tcp:///system"] {
            let error = Address::new(Some(uri), &environment(true)).unwrap_err();
            assert_eq!(error, AddressError::Remote { uri: uri.to_owned() });
        }
        for uri in ["xen:///system", "test:///default", "qemu:///embed?root=/x", "", "web"] {
            let error = Address::new(Some(uri), &environment(true)).unwrap_err();
            assert_eq!(error, AddressError::NotQemu { uri: uri.to_owned() });
        }
        let error = Address::new(None, &Environment::default()).unwrap_err();
        assert!(matches!(error, AddressError::NoSession { .. }));
    }
}
