//! What all threads of the watcher use: the configuration, the log, and the way to the supervisor.

use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::Sender;

use super::config::{Config, Policy};
use super::guest::Guest;
use super::news::News;
use super::record::{Log, Record};

/// Shared by all threads.
pub(super) struct Shared {
    config: RwLock<Arc<Config>>,
    news: Sender<News>,
    log: Arc<dyn Log>,
}

impl Shared {
    pub(super) fn new(config: Config, news: Sender<News>, log: Arc<dyn Log>) -> Self {
        Self { config: RwLock::new(Arc::new(config)), news, log }
    }

    /// The configuration that is in effect now.
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another configuration into effect.
    pub(super) fn configure(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The policy of a guest.
    pub(super) fn policy(&self, guest: &Guest) -> Policy {
        self.config().policy(&guest.names()).resolved(guest.on_crash)
    }

    /// Reports to the supervisor. It may have ended, and needs no news then.
    pub(super) fn report(&self, news: News) {
        let _ = self.news.send(news);
    }

    /// The way to the supervisor.
    pub(super) fn news(&self) -> Sender<News> {
        self.news.clone()
    }

    /// Records what happened.
    pub(super) fn record(&self, record: Record) {
        self.log.record(record);
    }
}
