//! A libvirt whose socket wants a user and a password (SASL), as oVirt's does.
//!
//! ```text
//! SaslInit ──► mechanisms     SaslStart, SaslStep ──► messages, until it is complete
//! ```
//!
//! Needs: a connection, and what the user has in libvirt's `auth.conf`. Gives: the connection
//! authenticated, or why not. SCRAM-SHA-256 and PLAIN are spoken; the socket is local, so that
//! a password in plain goes to libvirt alone. GSSAPI, DIGEST-MD5 and others are not.

mod credentials;
mod scram;

use rustix::rand::{GetRandomFlags, getrandom};
use vmcore_formats::libvirt::call::Call;
use vmcore_formats::libvirt::reply;

use super::Client;
use crate::monitor::libvirt::address::Address;
use crate::monitor::{Answer, MonitorError, WaitLimits};
use credentials::Credentials;
use scram::Scram;

const SCRAM: &str = "SCRAM-SHA-256";
const PLAIN: &str = "PLAIN";

/// Authenticates a connection.
pub(super) fn authenticate(
    client: &mut Client,
    address: &Address,
    limits: &WaitLimits<'_>,
) -> Answer<()> {
    let names = |payload: &[u8]| reply::sasl_mechanisms(payload).map(str::to_owned);
    let offered = client.call(&Call::SaslInit, names, limits)?;
    let is_offered =
        |wanted: &str| offered.split([',', ' ']).any(|name| name.eq_ignore_ascii_case(wanted));
    if !is_offered(SCRAM) && !is_offered(PLAIN) {
        let wanted = format!("SASL's {offered}");
        return Err(MonitorError::Authentication { path: client.path().to_owned(), wanted });
    }
    let Some(credentials) = Credentials::find(address.files_of_credentials()) else {
        return Err(failed(client, "auth.conf has no user and password for it".to_owned()));
    };
    if is_offered(SCRAM) {
        return by_scram(client, &credentials, limits);
    }
    let message = format!("\0{}\0{}", credentials.user, credentials.password);
    let answer = start(client, PLAIN, message.as_bytes(), limits)?;
    match answer.is_complete {
        true => Ok(()),
        false => Err(failed(client, "it wants more than a user and a password".to_owned())),
    }
}

fn by_scram(client: &mut Client, credentials: &Credentials, limits: &WaitLimits<'_>) -> Answer<()> {
    let mut nonce = [0; 18];
    getrandom(&mut nonce, GetRandomFlags::empty())
        .map_err(|error| failed(client, format!("no random numbers: {error}")))?;
    let scram = Scram::new(credentials, &nonce);
    let answer = start(client, SCRAM, scram.first().as_bytes(), limits)?;
    let proof = scram.prove(&answer.message).map_err(|error| failed(client, error.to_string()))?;
    let call = Call::SaslStep(proof.message.as_bytes());
    let answer = client.call(&call, reply::sasl_answer, limits)?;
    proof.check(&answer.message).map_err(|error| failed(client, error.to_string()))?;
    if !answer.is_complete {
        // libvirt may have sent its own proof alone, and waits for an answer to that.
        let last = client.call(&Call::SaslStep(&[]), reply::sasl_answer, limits)?;
        if !last.is_complete {
            return Err(failed(client, "it does not come to an end".to_owned()));
        }
    }
    Ok(())
}

fn start(
    client: &mut Client,
    mechanism: &str,
    message: &[u8],
    limits: &WaitLimits<'_>,
) -> Answer<reply::SaslAnswer> {
    client.call(&Call::SaslStart(mechanism, message), reply::sasl_answer, limits)
}

fn failed(client: &Client, reason: String) -> MonitorError {
    MonitorError::NotAuthenticated { path: client.path().to_owned(), reason }
}
