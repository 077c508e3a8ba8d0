//! What stays in the clear of an encrypted entry: a list of what may, and nothing else.
//!
//! ```text
//! metadata.json       id, times, sizes, hashes, architecture, kernel, signature, version,
//!                     fingerprints of the recipients' keys; names and title unless hidden
//! metadata.json.age   all of it, as it is in the core
//! ```

use serde::{Deserialize, Serialize};

use super::{CoreLeftOut, Guest, Host, Metadata, Panic, Request};

/// What is behind the name of an encrypted file.
pub const ENCRYPTED: &str = ".age";
/// Name of an encrypted core in an entry.
pub const ENCRYPTED_CORE_FILE: &str = "vmcore.elf.zst.age";
/// Name of the encrypted metadata in an entry.
pub const ENCRYPTED_METADATA_FILE: &str = "metadata.json.age";

/// The public key of a recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientKey {
    /// What it is, for example `X25519` or `ssh-ed25519`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its fingerprint: of an ssh key as `ssh-keygen -l` prints it, else of its text.
    pub fingerprint: String,
}

/// That an entry is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encrypted {
    /// The recipients that can read it.
    pub to: Vec<RecipientKey>,
    /// Length of the core's file, in bytes; `null` as long as there is none.
    pub core_file_bytes: Option<u64>,
    /// SHA-256 of the core's file, once that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_file_sha256: Option<String>,
}

/// What is hidden of that which is in the clear otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Names of guest and host, and the guest's UUID.
    pub names: bool,
    /// The title of the report, which has names of functions.
    pub title: bool,
}

/// The metadata as it is beside a core.
#[derive(Clone, Debug)]
pub struct MetadataFiles {
    /// `metadata.json`.
    pub clear: Vec<u8>,
    /// `metadata.json.age`, if the entry is encrypted.
    pub sealed: Option<Vec<u8>>,
}

impl MetadataFiles {
    /// Those of an entry that is not encrypted.
    pub fn plain(json: Vec<u8>) -> Self {
        Self { clear: json, sealed: None }
    }
}

impl Metadata {
    /// What of it stays in the clear. `alias` is what the guest is called if names are hidden.
    #[must_use]
    pub fn in_the_clear(&self, hidden: Hidden, alias: Option<String>, to: Encrypted) -> Self {
        let name = |name: &Option<String>| name.clone().filter(|_| !hidden.names);
        let guest = match hidden.names {
            true => alias,
            false => self.guest.name.clone(),
        };
        Self {
            id: self.id.clone(),
            tool: self.tool.clone(),
            host: Host {
                name: name(&self.host.name),
                architecture: self.host.architecture.clone(),
                ..Host::default()
            },
            guest: Guest {
                name: guest,
                uuid: name(&self.guest.uuid),
                architecture: self.guest.architecture.clone(),
                memory_bytes: self.guest.memory_bytes,
                ..Guest::default()
            },
            title: self.title.clone().filter(|_| !hidden.title),
            signature: self.signature.clone(),
            panic: self.panic.as_ref().map(|panic| Panic {
                noticed_by: panic.noticed_by,
                happened: panic.happened,
                ..Panic::found(panic.noticed)
            }),
            result: self.result,
            held_seconds: self.held_seconds,
            core: self.core.clone(),
            core_left_out: self
                .core_left_out
                .as_ref()
                .map(|left_out| CoreLeftOut { cause: left_out.cause, reason: None }),
            pages_dropped: self.pages_dropped.clone(),
            bytes_dropped: self.bytes_dropped.clone(),
            encrypted: Some(to),
            ..Self::new(Request::to_read(), self.started)
        }
    }
}

/// Whether a file of this name is the core of an entry.
pub fn is_core_name(name: &str) -> bool {
    name == super::CORE_FILE || name == ENCRYPTED_CORE_FILE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Failure, Phase};

    /// Metadata with a word of its own in each field that has a text.
    fn full() -> Metadata {
        let word = |word: &str| Some(format!("secret-{word}"));
        let mut metadata =
            Metadata::new(Request::to_read(), "2026-01-01T00:00:00Z".parse().unwrap());
        metadata.id = "20260101T000000Z-aaaa0001".to_owned();
        metadata.host = Host { name: word("host"), kernel: word("kernel"), architecture: None };
        metadata.guest.name = word("guest");
        metadata.guest.uuid = word("uuid");
        metadata.guest.monitor = "secret-monitor".to_owned();
        metadata.guest.machine = word("machine");
        metadata.guest.migration_blocked = Some(vec!["secret-blocker".to_owned()]);
        metadata.title = word("title");
        metadata.note = word("note");
        metadata.failure = Some(Failure {
            stage: "secret-stage".to_owned(),
            message: "secret-message".to_owned(),
            qemu_error: None,
        });
        metadata.phases = vec![Phase { name: "secret-phase".to_owned(), seconds: 1.0 }];
        metadata.warnings = vec!["secret-warning".to_owned()];
        metadata
    }

    #[test]
    fn nothing_is_in_the_clear_that_is_not_on_the_list() {
        let to = || Encrypted { to: Vec::new(), core_file_bytes: Some(7), core_file_sha256: None };
        for (names, title, allowed) in [
            (false, false, &["secret-host", "secret-guest", "secret-uuid", "secret-title"][..]),
            (true, false, &["secret-title"]),
            (false, true, &["secret-host", "secret-guest", "secret-uuid"]),
            (true, true, &[]),
        ] {
            let hidden = Hidden { names, title };
            let clear = full().in_the_clear(hidden, Some("alias".to_owned()), to());
            let text = String::from_utf8(clear.to_json()).unwrap();
            let found: Vec<&str> =
                text.split('"').filter(|word| word.starts_with("secret-")).collect();
            let mut expected = allowed.to_vec();
            expected.sort_unstable();
            let mut sorted = found.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, expected);
            assert_eq!(clear.guest.name.as_deref() == Some("alias"), names);
            assert_eq!(clear.id, full().id);
        }
    }
}
