//! `vmcorectl watch`: capture each panic of a host's guests.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::exit::{Exit, UsageError};
use super::guest;
use super::spool_folder::SpoolArgs;
use super::store_folder;
use super::stored_core::print;
use super::ui;
use super::watch_log::WatchLog;
use crate::monitor::libvirt::Address;
use crate::regular_file;
use crate::render;
use crate::watch::config::{Config, ConfigError, DEFAULT_FILE, MAX_FILE};
use crate::watch::{self, ServiceManager, Setup};

/// Wait for panics of all guests of this host, and capture each
///
/// Guests are found by libvirt and by QMP sockets, as the configuration says. Each panic is
/// captured by a process of its own. SIGHUP reads the configuration again; SIGTERM ends the
/// watcher once the captures under way have ended.
#[derive(Debug, clap::Args)]
pub(super) struct WatchArgs {
    /// The configuration [default: /etc/vmcorectl.toml if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration, print what it means for the guests that are there, and end
    #[arg(long)]
    check: bool,
    /// Leave `upload` to a timer that runs `push --all`: for a service that has no network
    #[arg(long)]
    no_upload: bool,
    /// Print what happens as lines of JSON on the standard output
    #[arg(long, conflicts_with = "check")]
    json: bool,
}

/// Watches until a signal.
pub(super) fn run(arguments: &WatchArgs) -> anyhow::Result<Exit> {
    let file = arguments.config.clone();
    let config = read(file.as_deref()).map_err(|error| UsageError {
        message: error.to_string(),
        hint: Some(error.hint().to_owned()),
    })?;
    let libvirt = address(&config)?;
    if arguments.check {
        let (guests, problem) = watch::check::guests(&config, libvirt.as_ref());
        if let Some(problem) = problem {
            ui::say(&format!("warning: guests of libvirt are not seen: {problem}"));
        }
        return print(|out| render::watch::check(&config, &guests, out));
    }
    let variable = |name| std::env::var(name).ok();
    let watchdog = variable("WATCHDOG_USEC").and_then(|time| time.parse().ok());
    let manager = ServiceManager {
        socket: variable("NOTIFY_SOCKET"),
        watchdog: watchdog.map(Duration::from_micros),
    };
    let in_journal = variable("JOURNAL_STREAM").is_some();
    let (log, end) = WatchLog::start(arguments.json, in_journal)?;
    let store = config.store.clone().unwrap_or_else(store_folder::by_default);
    let spool = SpoolArgs { spool: config.spool.clone() }.folder();
    let uploads = !arguments.no_upload;
    let setup = Setup { libvirt, config, store, spool, uploads, manager, log: Arc::new(log) };
    let outcome = watch::run(setup, &|| read(file.as_deref()));
    end.wait();
    outcome?;
    Ok(Exit::Done)
}

/// The libvirt that the configuration names.
fn address(config: &Config) -> Result<Option<Address>, UsageError> {
    let Some(uri) = &config.libvirt else { return Ok(None) };
    Address::new(Some(uri), &guest::environment()).map(Some).map_err(|error| UsageError {
        message: error.to_string(),
        hint: Some(error.hint().to_owned()),
    })
}

/// Reads the file; without one that is named, the default one or none.
pub(super) fn read(named: Option<&Path>) -> Result<Config, ConfigError> {
    let file = named.unwrap_or(Path::new(DEFAULT_FILE));
    let error = |message: String| ConfigError { file: file.to_owned(), line: None, message };
    let bytes = match regular_file::read(file, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(absent) if absent.kind() == ErrorKind::NotFound && named.is_none() => Vec::new(),
        Err(found) => return Err(error(format!("cannot read it: {found}"))),
    };
    let text = String::from_utf8(bytes).map_err(|_| error("it is not UTF-8".to_owned()))?;
    Config::parse(file, &text)
}
