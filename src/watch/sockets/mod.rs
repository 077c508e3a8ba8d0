//! Guests by their QMP sockets: a thread for each socket that there is.
//!
//! The sockets are looked for each second. A guest needs longer than that to start a kernel that
//! can panic; one that panicked before it was found is found held.

mod visit;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::config::PathPattern;
use super::guest::Seen;
use super::news::News;
use super::orders::{Order, OrderSender, pair};
use super::record::{Level, Record};
use super::shared::Shared;

/// How often sockets are looked for.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// The most sockets that are watched.
const MAX_SOCKETS: usize = 4096;
/// A thread waits most of the time, and has few frames.
const STACK: usize = 256 << 10;

/// The sockets that are watched now.
#[derive(Clone)]
pub(super) struct SocketSource {
    shared: Arc<Shared>,
    watched: Arc<Mutex<BTreeMap<String, Watched>>>,
}

struct Watched {
    found: Found,
    orders: OrderSender,
}

/// A socket, and what distinguishes it from another one at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    device: u64,
    inode: u64,
    poll: Option<Duration>,
}

impl SocketSource {
    /// Begins to look for sockets.
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let source = Self { shared: Arc::clone(shared), watched: Arc::default() };
        let scanning = source.clone();
        thread::Builder::new().name("sockets".to_owned()).spawn(move || {
            loop {
                scanning.scan();
                thread::sleep(SCAN_INTERVAL);
            }
        })?;
        Ok(source)
    }

    /// Gives an order to the thread of a guest, if it has one.
    pub(super) fn order(&self, key: &str, order: Order) {
        if let Some(watched) = self.lock().get(key) {
            watched.orders.give(order);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scan(&self) {
        let found = sockets_of(&self.shared);
        let mut watched = self.lock();
        let gone: Vec<_> = watched
            .iter()
            .filter(|(path, watched)| found.get(*path) != Some(&watched.found))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            watched.remove(&path);
            self.shared.report(News::Guest(path, Seen::Gone));
        }
        for (path, found) in found {
            if !watched.contains_key(&path) && watched.len() < MAX_SOCKETS {
                match self.watch(&path, found) {
                    Ok(orders) => drop(watched.insert(path, Watched { found, orders })),
                    Err(error) => {
                        let text = format!("cannot watch {path}: {error}");
                        self.shared.record(Record::new(Level::Error, "source", text));
                    }
                }
            }
        }
    }

    fn watch(&self, path: &str, found: Found) -> std::io::Result<OrderSender> {
        let (orders, receiver) = pair()?;
        let shared = Arc::clone(&self.shared);
        let socket = visit::Socket {
            path: path.to_owned(),
            poll: found.poll,
            fallback: format!("inode {}", found.inode),
        };
        let thread = thread::Builder::new().name("socket".to_owned()).stack_size(STACK);
        thread.spawn(move || visit::watch(&socket, &receiver, &shared))?;
        Ok(orders)
    }
}

/// All sockets that the configuration names and that are there. The first pattern counts.
fn sockets_of(shared: &Shared) -> BTreeMap<String, Found> {
    let config = shared.config();
    let mut found = BTreeMap::new();
    for sockets in &config.sockets {
        let paths = sockets.paths.iter().flat_map(PathPattern::paths);
        for path in paths {
            if let (Some(text), Some(socket)) = (path.to_str(), look(&path, sockets.poll)) {
                found.entry(text.to_owned()).or_insert(socket);
            }
        }
    }
    found
}

fn look(path: &Path, poll: Option<Duration>) -> Option<Found> {
    let file = fs::metadata(path).ok().filter(|file| file.file_type().is_socket())?;
    Some(Found { device: file.dev(), inode: file.ino(), poll })
}
