//! All names below one, by pages of which several are fetched at the same time.
//!
//! A page of a list says where the next one begins, so that one list is one request after the other.
//! If the first page is not all, what is left is divided into lists that have no name in common
//! ([`task`]), and so is a list that turns out to be longer than others. What is divided is the
//! names, wherever they are: an object that is there all the time is in exactly one of the lists,
//! whatever is added or removed meanwhile.
//!
//! Needs: pages. Gives: objects, in any order, as their pages come. Nothing is kept of a page.

mod split;
mod task;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use jiff::Timestamp;

use super::RemoteError;
use super::at_once::AT_ONCE;
use super::channel::Channel;
use super::dated::DatedObject;
use super::wire::{Ask, Outcome, Page, PageOf};
use task::Task;

/// The most names of a list that is kept: their text takes some gigabytes.
const MAX_LISTED: usize = 20_000_000;

/// What has pages.
trait Pages: Sync {
    /// # Errors
    /// Fails if the page cannot be had.
    fn page(&self, of: PageOf) -> Result<Page, RemoteError>;

    /// The error of something that the server says.
    fn wrong(&self, name: &str, problem: &str) -> RemoteError;
}

/// What takes the objects of a page.
type Each<'a> = &'a mut (dyn FnMut(DatedObject) + Send);

impl Channel {
    /// The names below a name (a directory), with the lengths of the objects, sorted. Each begins
    /// where those of [`Self::walk`] do.
    ///
    /// # Errors
    /// Fails if the server has no lists, or more names than are read.
    pub fn list_below(&self, name: &str) -> Result<Vec<(String, u64)>, RemoteError> {
        let below = if name.is_empty() { String::new() } else { format!("{name}/") };
        let (mut names, mut left) = (Vec::new(), 0_usize);
        self.walk(&[below], None, &mut |object| match names.len() < MAX_LISTED {
            true => names.push((object.name, object.bytes)),
            false => left = left.saturating_add(1),
        })?;
        if left > 0 {
            let problem = format!("it has more than {MAX_LISTED} objects");
            return Err(self.failed(name, problem));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Gives the objects of the first page of names that begin so. Says whether these are all.
    ///
    /// # Errors
    /// Fails if the server has no lists.
    pub fn walk_page(
        &self,
        prefix: &str,
        without: Option<&'static str>,
        each: Each<'_>,
    ) -> Result<bool, RemoteError> {
        Ok(Task::new(prefix.to_owned(), without).step(self, each, 0)?.is_empty())
    }

    /// Gives each object in a directory, which is named with its slash, but for those whose names
    /// there are in order before that of this time.
    ///
    /// # Errors
    /// Fails if the server has no lists.
    pub fn walk_since(
        &self,
        folder: &str,
        time: Timestamp,
        each: Each<'_>,
    ) -> Result<(), RemoteError> {
        walk(self, [Task::new(folder.to_owned(), None).since(time)].into(), each)
    }

    /// The directories below a name (a directory), without their slash, sorted.
    ///
    /// # Errors
    /// Fails if the server has no lists.
    pub fn folders(&self, name: &str) -> Result<Vec<String>, RemoteError> {
        let below = if name.is_empty() { String::new() } else { format!("{name}/") };
        let listed = Task::new(below, None).folders(self)?;
        let folders = listed.folders.iter();
        Ok(folders.map(|folder| folder.trim_end_matches('/').to_owned()).collect())
    }

    /// Gives each object whose name begins with one of these texts. None of them begins with
    /// another one, and each is a directory with its slash and the beginning of a name in it, or
    /// empty. What is in the directory `without`, which ends with its slash, is left out.
    ///
    /// # Errors
    /// Fails if the server has no lists.
    pub fn walk(
        &self,
        prefixes: &[String],
        without: Option<&'static str>,
        each: Each<'_>,
    ) -> Result<(), RemoteError> {
        let tasks = prefixes.iter().cloned().map(|prefix| Task::new(prefix, without));
        walk(self, tasks.collect(), each)
    }
}

impl Pages for Channel {
    fn page(&self, of: PageOf) -> Result<Page, RemoteError> {
        let name = of.prefix.trim_end_matches('/').to_owned();
        let answer = self.ask(Ask::List(of))?;
        match answer.outcome {
            Outcome::Done => serde_json::from_slice(&answer.bytes)
                .map_err(|error| self.failed(&name, error.to_string())),
            Outcome::Failed { problem } => Err(self.failed(&name, problem)),
            Outcome::NotFound => Err(self.not_found(&name)),
            Outcome::Opened { .. } | Outcome::Put { .. } => Err(RemoteError::Ended),
        }
    }

    fn wrong(&self, name: &str, problem: &str) -> RemoteError {
        self.failed(name.trim_end_matches('/'), problem.to_owned())
    }
}

/// A list that is under way.
struct Walk<'a, P> {
    pages: &'a P,
    each: Mutex<Each<'a>>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<Task>,
    running: usize,
    failed: Option<RemoteError>,
}

fn walk<'a, P: Pages>(
    pages: &'a P,
    mut waiting: VecDeque<Task>,
    each: Each<'a>,
) -> Result<(), RemoteError> {
    if let [task] = waiting.make_contiguous() {
        // Most lists have one page.
        let only = task.clone().step(pages, each, AT_ONCE)?;
        waiting = only.into();
    }
    let state = State { waiting, running: 0, failed: None };
    if state.waiting.is_empty() {
        return Ok(());
    }
    let (each, state) = (Mutex::new(each), Mutex::new(state));
    let walk = Walk { pages, each, state, changed: Condvar::new() };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| walk.work())).collect();
        let ended = |_| Err(RemoteError::Ended);
        workers.into_iter().try_for_each(|worker| worker.join().map_or_else(ended, Ok))
    })?;
    let failed = walk.state().failed.take();
    failed.map_or(Ok(()), Err)
}

impl<P: Pages> Walk<'_, P> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches pages until there are no more.
    fn work(&self) {
        while let Some((task, free)) = self.next() {
            let mut objects = Vec::new();
            let rest = task.step(self.pages, &mut |object| objects.push(object), free);
            {
                let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
                objects.into_iter().for_each(&mut **each);
            }
            let mut state = self.state();
            state.running = state.running.saturating_sub(1);
            match rest {
                Ok(rest) => state.waiting.extend(rest),
                Err(error) => state.failed = Some(error),
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The next task, and how many more there could be at the same time; `None` at the end.
    fn next(&self) -> Option<(Task, usize)> {
        let mut state = self.state();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if let Some(task) = state.waiting.pop_front() {
                state.running = state.running.saturating_add(1);
                let busy = state.running.saturating_add(state.waiting.len());
                return Some((task, AT_ONCE.saturating_sub(busy)));
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
#[path = "listing/tests.rs"]
mod tests;
