//! Guests of a host, as a table.

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::table::{Column, lines};
use crate::doctor::status::GuestStatus;
use crate::doctor::{GuestFacts, MonitorState};

/// The most characters of a guest's name and of a cell of any other kind.
const MAX_NAME: usize = 64;
const MAX_CELL: usize = 48;
/// The most clients of a monitor that are named.
const NAMED: usize = 2;

/// Prints the guests, one a line, in this machine's time zone.
pub fn table(guests: &[GuestStatus], out: &mut dyn Write) -> io::Result<()> {
    const COLUMNS: [Column; 8] = [
        Column::text("GUEST", MAX_NAME),
        Column::text("STATE", MAX_CELL),
        Column::text("SINCE", 24),
        Column::text("PANIC DEVICE", MAX_CELL),
        Column::text("AT PANIC", MAX_CELL),
        Column::text("MONITOR", MAX_CELL),
        Column::number("ENTRIES"),
        Column::text("NAMED", 128),
    ];
    if guests.is_empty() {
        return Ok(());
    }
    let zone = TimeZone::system();
    let rows = guests.iter().map(|guest| row(guest, &zone));
    lines(COLUMNS, rows).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn row(status: &GuestStatus, zone: &TimeZone) -> [String; 8] {
    let facts = &status.facts;
    let or_unknown = |text: Option<&str>| text.unwrap_or("?").to_owned();
    let since = status.panicked_since.map_or_else(
        || "-".to_owned(),
        |time| zone.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    );
    [
        facts.title().to_owned(),
        or_unknown(facts.state.as_deref()),
        since,
        panic_devices(facts),
        or_unknown(facts.at_panic.as_deref()),
        monitor(&facts.monitor),
        status.entries.to_string(),
        facts.guest.clone(),
    ]
}

fn panic_devices(facts: &GuestFacts) -> String {
    match facts.panic_devices.as_deref() {
        None => "?".to_owned(),
        Some([]) => "none".to_owned(),
        Some(devices) => devices.join(","),
    }
}

fn monitor(state: &MonitorState) -> String {
    match state {
        MonitorState::Unknown => "?".to_owned(),
        MonitorState::Free => "free".to_owned(),
        MonitorState::Libvirt => "libvirt".to_owned(),
        MonitorState::Unreachable => "unreachable".to_owned(),
        MonitorState::Busy { clients } => {
            let named = clients.iter().take(NAMED).map(|client| {
                let name = client.name.as_deref().unwrap_or("process");
                format!("{name} ({})", client.process)
            });
            let named: Vec<_> = named.collect();
            match named.is_empty() {
                true => "busy".to_owned(),
                false => format!("busy: {}", named.join(", ")),
            }
        }
    }
}
