//! Addresses for processes of ours: any user sees a process's arguments, and only its own user its
//! environment.

use std::env;
use std::process::Command;

use crate::remote::address::{Address, RemoteAddress};

/// The variable with the address whose secrets the argument does not have.
const VARIABLE: &str = "VMCORECTL_ADDRESS";

/// Gives an address to a process, as its next argument.
pub(super) fn pass(command: &mut Command, address: &RemoteAddress) {
    if address.has_secrets() {
        command.env(VARIABLE, address.with_secrets());
    }
    command.arg(address.shown());
}

/// The address that an argument is, as it was typed or given; `None` if it is a path or a name.
pub(super) fn parse(argument: &str) -> Option<Address> {
    let address = Address::parse(argument)?;
    let given = env::var(VARIABLE).ok().and_then(|text| Address::parse(&text));
    match (&address, given) {
        (Address::Remote(shown), Some(Address::Remote(given)))
            if given.shown() == shown.with_secrets() =>
        {
            Some(Address::Remote(given))
        }
        _ => Some(address),
    }
}
