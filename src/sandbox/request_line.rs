//! How a request to the child is written: a line of JSON, and the head of a dump behind it.
//!
//! [`Task`](super::Task) reads it.

use std::collections::BTreeMap;

use serde::Serialize;

/// The request of a task in bytes.
pub(super) fn encode(task: &str, request: &impl Serialize, head: &[u8]) -> Vec<u8> {
    // A value made of strings, numbers and lists cannot fail to serialise.
    let mut bytes = serde_json::to_vec(&BTreeMap::from([(task, request)])).unwrap_or_default();
    bytes.push(b'\n');
    bytes.extend(head);
    bytes
}
