//! Many requests, several of them at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::RemoteError;

/// How many requests there are at the same time.
pub(super) const AT_ONCE: usize = 16;

/// Does something with each of many, several at the same time. The results are in their order.
///
/// # Errors
/// Fails if one of them does. What was not begun is left then.
pub fn at_once<T: Sync, R: Send, E: From<RemoteError> + Send>(
    of: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let one = || -> Result<(), E> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = of.get(at) else { return Ok(()) };
            let result = work(item).inspect_err(|_| next.store(of.len(), Ordering::Relaxed))?;
            found.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..of.len().min(AT_ONCE)).map(|_| scope.spawn(one)).collect();
        let ended = |_| Err(RemoteError::Ended.into());
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(ended))
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, result)| result).collect())
}
