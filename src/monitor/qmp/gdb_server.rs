//! QEMU's server for gdb, at the other end of a connection that it is passed.
//!
//! ```text
//! getfd ─► chardev-add, over that descriptor ─► gdbserver chardev:ID      open
//! gdbserver none, which removes the chardev, too                          close
//! ```
//!
//! There is no path at which another could connect, and none that QEMU's user has to reach. Neither
//! step changes the run state of a stopped guest, nor does a client that dies: QEMU only notes
//! that the chardev is disconnected. There is one server, and `gdbserver` ends the one before.

use std::os::fd::BorrowedFd;

use serde_json::{Value, json};

use super::Client;
use crate::monitor::{Answer, GdbServer, Monitor, MonitorError, WaitLimits};

/// The name of our chardev, and of the descriptor for it.
const ID: &str = "vmcorectl-gdb";
/// QEMU's own name for the chardev of `-gdb`, `-s` and `gdbserver`.
const OF_OTHERS: &str = "gdb";
/// What QEMU writes before the address of a chardev whose other end is gone.
const GONE: &str = "disconnected:";

pub(super) fn open(
    client: &mut Client,
    connection: BorrowedFd<'_>,
    limits: &WaitLimits<'_>,
) -> Answer<GdbServer> {
    // A server of others over a chardev with a name of its own looks like any chardev.
    if let Some(at) = address(client, OF_OTHERS, limits)? {
        return Ok(GdbServer::InUse { at });
    }
    match address(client, ID, limits)? {
        Some(at) if at.starts_with(GONE) => remove(client, limits)?,
        Some(at) => return Ok(GdbServer::InUse { at }),
        None => {}
    }
    client.execute_with_descriptor("getfd", json!({ "fdname": ID }), connection, limits)?;
    let address = json!({ "type": "fd", "data": { "str": ID } });
    let backend = json!({ "type": "socket", "data": { "addr": address, "server": false } });
    let added = client.execute("chardev-add", json!({ "id": ID, "backend": backend }), limits);
    if let Err(error) = added {
        let _ = client.execute("closefd", json!({ "fdname": ID }), limits);
        return Err(error);
    }
    let text = gdbserver(client, &format!("chardev:{ID}"), limits)?;
    if is_served(client, limits)? {
        return Ok(GdbServer::Open);
    }
    remove(client, limits)?;
    let text = text.unwrap_or_else(|| "it does not know the command gdbserver".to_owned());
    Ok(GdbServer::Refused { text: text.trim().to_owned() })
}

pub(super) fn close(client: &mut Client, limits: &WaitLimits<'_>) -> Answer<()> {
    if address(client, ID, limits)?.is_some() { remove(client, limits) } else { Ok(()) }
}

/// Ends the server, and removes the chardev where that does not.
fn remove(client: &mut Client, limits: &WaitLimits<'_>) -> Answer<()> {
    gdbserver(client, "none", limits)?;
    match client.execute("chardev-remove", json!({ "id": ID }), limits) {
        Ok(_) | Err(MonitorError::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn gdbserver(client: &mut Client, device: &str, limits: &WaitLimits<'_>) -> Answer<Option<String>> {
    client.ask_as_person(&format!("gdbserver {device}"), limits)
}

/// Whether something in QEMU uses our chardev.
fn is_served(client: &mut Client, limits: &WaitLimits<'_>) -> Answer<bool> {
    let chardev = chardev(client, ID, limits)?;
    Ok(chardev.is_some_and(|chardev| chardev.get("frontend-open") == Some(&Value::Bool(true))))
}

/// Where the chardev of this name leads, if there is one.
fn address(client: &mut Client, name: &str, limits: &WaitLimits<'_>) -> Answer<Option<String>> {
    let text = |value: Value| value.get("filename")?.as_str().map(str::to_owned);
    Ok(chardev(client, name, limits)?.map(|value| text(value).unwrap_or_default()))
}

fn chardev(client: &mut Client, name: &str, limits: &WaitLimits<'_>) -> Answer<Option<Value>> {
    let all = client.execute("query-chardev", json!({}), limits)?;
    let named = |chardev: &&Value| chardev.get("label").and_then(Value::as_str) == Some(name);
    Ok(all.as_array().and_then(|all| all.iter().find(named)).cloned())
}
