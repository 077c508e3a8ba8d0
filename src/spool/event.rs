//! An event of a management daemon, as a hook was called with it.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the format.
const SCHEMA: &str = "vmcorectl/spool/1";

/// Something that a management daemon did with a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpooledEvent {
    pub(super) schema: Schema,
    /// When the hook was called.
    pub time: Timestamp,
    /// The daemon.
    pub from: Manager,
    /// What it means for a watcher.
    pub kind: EventKind,
    /// The guest's name, or its number.
    pub guest: String,
    /// The guest's UUID, if the hook was given it.
    pub uuid: Option<String>,
    /// A QMP socket of the guest that the daemon does not use.
    pub socket: Option<PathBuf>,
    /// What the daemon does at a panic, in its words.
    pub on_crash: Option<String>,
    /// Why the guest ended, in the daemon's words.
    pub reason: Option<String>,
    /// The arguments of the hook, as they came.
    pub arguments: Vec<String>,
}

/// A management daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// libvirt.
    Libvirt,
    /// Proxmox VE.
    Proxmox,
    /// Incus, or LXD.
    Incus,
    /// Another one, by a script.
    Other,
}

/// What an event means for a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The guest was started, or its daemon was, and found it.
    Came,
    /// The guest ended.
    Went,
    /// The guest ended because it panicked: its memory is gone.
    PanicLost,
}

/// The schema's name, which is checked when an event is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub(super) struct Schema;

impl From<Schema> for &'static str {
    fn from(Schema: Schema) -> Self {
        SCHEMA
    }
}

impl TryFrom<String> for Schema {
    type Error = String;

    fn try_from(found: String) -> Result<Self, Self::Error> {
        match found == SCHEMA {
            true => Ok(Self),
            false => Err(format!("an event is of {SCHEMA:?}, and this is of {found:?}")),
        }
    }
}

impl SpooledEvent {
    /// An event of now, of which nothing more is known.
    pub fn new(from: Manager, kind: EventKind, guest: &str) -> Self {
        Self {
            schema: Schema,
            time: Timestamp::now(),
            from,
            kind,
            guest: guest.to_owned(),
            uuid: None,
            socket: None,
            on_crash: None,
            reason: None,
            arguments: Vec::new(),
        }
    }
}
