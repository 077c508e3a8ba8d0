//! How a stream and its file can end.

use std::io;

use thiserror::Error;
use vmcore_formats::elf::Identity;
use vmcore_formats::elf::dump_head::{DumpHead, DumpHeadError, NoteSummary};
use vmcore_formats::elf::stored_core::StoredCoreError;
use vmcore_formats::page_class::LeftOut;
use vmcore_formats::seekable::SeekTable;

use super::MAX_CORE;
use super::sink::CoreSink;

/// What the head of the dump says.
#[derive(Clone, Debug)]
pub struct CoreSummary {
    /// What machine it is of.
    pub identity: Identity,
    /// What its notes hold.
    pub notes: NoteSummary,
    /// How many memory segments it has.
    pub segments: usize,
    /// Bytes that QEMU's headers promise.
    pub stream_length: u64,
    /// Bytes of sections that are not stored.
    pub trailing_sections: u64,
    /// What was left out by the class of its pages, if anything was to be.
    pub left_out: Option<LeftOut>,
}

impl CoreSummary {
    /// Of a head from which some pages may be left out, and of its notes as they came.
    pub(crate) fn of(head: &DumpHead, notes: NoteSummary, left_out: Option<LeftOut>) -> Self {
        Self {
            identity: head.identity,
            notes,
            segments: head.segments.len(),
            stream_length: head.stream_length,
            trailing_sections: head.trailing_sections,
            left_out,
        }
    }
}

/// How the stream ended.
#[derive(Debug)]
pub struct StreamEnd {
    /// Bytes that came.
    pub bytes_read: u64,
    /// What the head says; `None` if it was never complete.
    pub summary: Option<CoreSummary>,
    /// Whether the stream is whole.
    pub outcome: Result<(), StreamError>,
}

/// Why a stream is not whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It ended too soon.
    #[error("the dump ended short: {found} bytes came, {} were promised", promised(*expected))]
    Short {
        /// Bytes that came.
        found: u64,
        /// Bytes that its headers promise, if they were whole.
        expected: Option<u64>,
    },
    /// More came than its headers promise.
    #[error("the dump is longer than it should be: {found} bytes came, {expected} were promised")]
    Long {
        /// Bytes that came.
        found: u64,
        /// Bytes that its headers promise.
        expected: u64,
    },
    /// Its headers are not those of a core.
    #[error("the dump cannot be understood")]
    Head(#[from] DumpHeadError),
    /// Its core cannot be stored.
    #[error("the dump cannot be stored")]
    Plan(#[from] StoredCoreError),
    /// Its core has more chunks than the seekable format allows.
    #[error("a core of {bytes} bytes cannot be stored: the file format ends at {MAX_CORE}")]
    TooLarge {
        /// How long the core would be.
        bytes: u64,
    },
    /// Its memory overlaps its head.
    #[error("the dump's memory begins at {offset}, and {found} bytes were read before it")]
    Behind {
        /// Where the memory begins.
        offset: u64,
        /// Bytes that were read.
        found: u64,
    },
    /// The pipe broke.
    #[error("cannot read the dump")]
    Read(#[source] io::Error),
    /// This side ended it.
    #[error("the dump was ended after {found} bytes")]
    Aborted {
        /// Bytes that came.
        found: u64,
    },
}

fn promised(expected: Option<u64>) -> String {
    expected.map_or_else(|| "more".to_owned(), |bytes| bytes.to_string())
}

/// What was written: frames, not synced yet, without their seek table.
#[derive(Debug)]
pub struct Written {
    /// Where.
    pub sink: Box<dyn CoreSink>,
    /// Its whole frames.
    pub table: SeekTable,
    /// The numbers of those that got less work than was asked for, in their order: to be
    /// compressed again.
    pub lighter: Vec<u32>,
}

/// Why a core was not written to its end, and what was written.
#[derive(Debug)]
pub enum OutputError {
    /// The system refused a write.
    Write {
        /// What it said.
        source: io::Error,
        /// What was written before.
        written: Box<Written>,
    },
    /// The file system has no more space to give.
    Reserve {
        /// What is free, in bytes.
        available: u64,
        /// What is to be kept free, in bytes.
        reserve: u64,
        /// What was written before.
        written: Box<Written>,
    },
}
