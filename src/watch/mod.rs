//! Watches all guests of a host, and has each panic captured by a process of its own.
//!
//! ```text
//! sockets, libvirt, spool ──► news ──► supervisor ──► capture: a process each
//!                                                └──► aftermath: records, files
//! ```
//!
//! Needs: a configuration, a store, and what takes records. Gives: an entry for each panic, with
//! its core or with the reason why it has none. Holds no memory of a guest, and parses none: what
//! may crash or hang is a process with limits. Does not print, and does not read the environment
//! (`cli` does).

mod aftermath;
mod background;
mod capture;
pub mod check;
pub mod config;
mod guest;
mod held;
mod libvirt;
mod metrics;
mod news;
mod notified;
mod notify;
mod orders;
mod process;
pub mod record;
mod service;
mod shared;
mod sockets;
mod spool_reader;
mod supervisor;
mod tracked;
mod uploads;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::bounded;
use thiserror::Error;

pub use service::ServiceManager;

use crate::interrupt;
use crate::monitor::libvirt::Address;
use crate::store::StoreError;
use crate::store::watcher_lock;
use aftermath::Aftermath;
use config::{Config, ConfigError};
use held::Held;
use libvirt::LibvirtSource;
use news::News;
use record::Log;
use service::Service;
use shared::Shared;
use sockets::SocketSource;
use supervisor::{Sources, Supervisor};

/// How many news may wait for the supervisor. Sources wait beyond that.
const NEWS: usize = 4096;

/// What a watcher needs.
#[derive(Debug)]
pub struct Setup {
    /// What to do.
    pub config: Config,
    /// Where entries go.
    pub store: PathBuf,
    /// Where hooks leave events.
    pub spool: PathBuf,
    /// The libvirt that the configuration names.
    pub libvirt: Option<Address>,
    /// Whether it pushes entries itself, where the configuration has an address.
    pub uploads: bool,
    /// Who started it.
    pub manager: ServiceManager,
    /// Who takes its records.
    pub log: Arc<dyn Log>,
}

/// Why there is no watcher.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another one runs.
    #[error("another watcher uses the store {}", store.display())]
    Running {
        /// Whose.
        store: PathBuf,
    },
    /// The system refused a thread.
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
}

impl WatchError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Running { .. } => Some("end it, or configure another store"),
            Self::Thread(_) => None,
        }
    }
}

/// Watches until a signal ends it. `read` reads the configuration again, at SIGHUP.
pub fn run(setup: Setup, read: &dyn Fn() -> Result<Config, ConfigError>) -> Result<(), WatchError> {
    let lock = watcher_lock::take(&setup.store)?;
    let Some(_lock) = lock else { return Err(WatchError::Running { store: setup.store }) };
    let (sender, news) = bounded(NEWS);
    let shared = Arc::new(Shared::new(setup.config, sender, setup.log));
    let signals = shared.news();
    interrupt::on_each(move |signal| {
        let news = if signal == "SIGHUP" { News::Reload } else { News::Stop(signal) };
        let _ = signals.send(news);
    })?;
    let held = Held::read(&setup.store);
    let sockets = SocketSource::start(&shared)?;
    let libvirt = match setup.libvirt {
        Some(address) => Some(LibvirtSource::start(address, held.clone(), &shared)?),
        None => None,
    };
    let sources = Sources { sockets, libvirt };
    spool_reader::start(setup.spool, &shared)?;
    let aftermath = Aftermath::start(&shared, &setup.store, setup.uploads)?;
    let service = Service::new(&setup.manager);
    Supervisor::new(shared, setup.store, held, sources, service, aftermath).run(&news, read);
    Ok(())
}
