//! Chunks that cannot be unpacked, each with its error.
//!
//! A reader that goes page by page asks for the same chunk hundreds of times. Without this,
//! each time it is read and unpacked up to the damage.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::bytes::DataError;

/// How many are kept: a file may have a million.
const MOST: usize = 1 << 16;

/// The chunks that could not be unpacked, by their numbers.
#[derive(Debug, Default)]
pub(super) struct FailedChunks {
    errors: Mutex<HashMap<usize, DataError>>,
}

impl FailedChunks {
    /// The error of a chunk that could not be unpacked before.
    pub(super) fn check(&self, index: usize) -> Result<(), DataError> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.get(&index).and_then(DataError::again).map_or(Ok(()), Err)
    }

    /// Keeps the error of a chunk, if it would be the same the next time.
    pub(super) fn keep(&self, index: usize, error: &DataError) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < MOST
            && let Some(error) = error.again()
        {
            errors.insert(index, error);
        }
    }
}
