//! Structures of a held guest's kernel, as the child is asked for them and answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::end::ChildError;
use super::request_line;
use crate::kernel::find::SearchDepth;
use crate::kernel::print::{Printed, Query};

/// What is to be printed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The guest's monitor: a name, which is not opened.
    pub path: PathBuf,
    /// How much of memory is searched for the kernel.
    pub search: SearchDepth,
    /// What is asked.
    pub query: Query,
}

/// What the child found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The structures, or why there are none.
    pub outcome: Result<Printed, Failure>,
    /// What is missing or damaged, as sentences.
    pub findings: Vec<String>,
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What is wrong.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// Whether the words of the query mean nothing.
    pub is_usage: bool,
}

impl Request {
    /// The request in bytes, with the head of a dump behind it.
    pub fn encode(&self, head: &[u8]) -> Vec<u8> {
        request_line::encode("print", self, head)
    }
}

impl Answer {
    /// Reads the child's answer, of which nothing is sure.
    ///
    /// # Errors
    /// Fails if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChildError> {
        serde_json::from_slice(bytes)
            .map_err(|error| ChildError::NoReport { problem: error.to_string() })
    }
}
