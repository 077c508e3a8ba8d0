//! `vmcorectl push --status`: what is pushed, what waits, and why it failed.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::exit::Exit;
use super::stored_core::print;
use crate::bucket::item::{Item, State};
use crate::bucket::queue::Queue;
use crate::render;
use crate::units::percent;

/// An entry on its way, as a line of JSON.
#[derive(Serialize)]
struct StatusJson {
    entry: String,
    to: String,
    state: State,
    /// Whether the entry is listed there.
    listed: bool,
    queued: Timestamp,
    attempts: u32,
    next: Option<Timestamp>,
    last_error: Option<String>,
    /// How much of its core is there.
    sent_bytes: Option<u64>,
    core_bytes: Option<u64>,
    pushed: Option<Timestamp>,
    /// When the core on this machine was removed.
    core_removed: Option<Timestamp>,
}

impl StatusJson {
    fn of(item: Item) -> Self {
        let (sent_bytes, core_bytes) = item.progress().unzip();
        let pushed = item.pushed.as_ref();
        Self {
            state: item.state(),
            listed: item.listed || pushed.is_some(),
            queued: item.queued,
            attempts: item.attempts,
            next: item.next,
            sent_bytes,
            core_bytes: core_bytes.or(pushed.map(|pushed| pushed.bytes)),
            pushed: pushed.map(|pushed| pushed.at),
            core_removed: pushed.and_then(|pushed| pushed.core_removed),
            last_error: item.last_error,
            entry: item.entry,
            to: item.to,
        }
    }
}

/// Prints all that the queue of a store has.
pub(super) fn print_all(store: &Path, json: bool) -> anyhow::Result<Exit> {
    let items = Queue::of(store).items()?.into_iter().map(StatusJson::of);
    let items: Vec<_> = items.collect();
    print(|out| match json {
        true => items.iter().try_for_each(|item| render::json::line(item, out)),
        false => {
            let rows = items.iter().map(row);
            render::push::table(rows).iter().try_for_each(|line| writeln!(out, "{line}"))
        }
    })
}

fn row(item: &StatusJson) -> [String; 6] {
    let zone = TimeZone::system();
    let time = |time: Timestamp| zone.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let sent = match (item.state, item.sent_bytes, item.core_bytes) {
        (State::Pushed, ..) => "100%".to_owned(),
        (_, Some(sent), Some(core)) => percent(sent, core),
        _ => "-".to_owned(),
    };
    [
        item.entry.clone(),
        item.to.clone(),
        item.state.name().to_owned(),
        sent,
        item.next.map_or_else(|| "-".to_owned(), time),
        item.last_error.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}
