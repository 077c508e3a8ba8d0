//! What the child is asked for, and what it answers: a report.
//!
//! ```text
//! request: a line of JSON ([`Request`]), then the head of a held guest's dump, if it is
//!          to be made of one; up to the end of writing ([`super::Task`])
//! answer:  JSON ([`Answer`]), up to the end of the process
//! ```

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use vmcore_formats::page_class::PageClasses;

use super::child::{Child, ChildLimits, Waited};
use super::end::ChildError;
use super::request_line;
use crate::corefile::pack::UsedChunks;
use crate::encryption::FileKey;
use crate::interrupt::Interrupt;
use crate::metadata::Metadata;
use crate::regular_file;
use crate::triage::crash::families::{Families, FamiliesError};
use crate::triage::report::data::SCHEMA;
use crate::triage::report::{Report, ReportOptions};

/// How long the report of a core that was just stored may take.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Of what a report is to be made, and how.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The core's file, or the guest's monitor: a name, which is not opened.
    pub path: PathBuf,
    /// Whether the memory is that of a held guest, and comes through a socket.
    pub held: bool,
    /// The metadata of its capture; `None` for what the core has with it.
    pub metadata: Option<Metadata>,
    /// The site's own table of families.
    site_families: Option<String>,
    /// How much is put into the report, and read for it.
    pub options: ReportOptions,
    /// The key of the core's file, if that is encrypted.
    #[serde(default)]
    pub key: Option<FileKey>,
    /// Which pages are to be left out of a core: a plan of that is wanted, and no report.
    pub pages: Option<String>,
    /// Whether the chunks of the core are wanted that its triage pack has.
    pub used_chunks: bool,
}

/// What the child made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The report.
    pub report: Box<Report>,
    /// What the kernel could not be made to enforce.
    pub unconfined: Vec<String>,
    /// The chunks of the core that its triage pack has, if they were wanted and the core has any.
    pub used_chunks: Option<UsedChunks>,
}

impl Request {
    /// A request for the report of a core.
    pub fn new(
        path: &Path,
        metadata: Option<Metadata>,
        families: &Families,
        options: ReportOptions,
    ) -> Self {
        let site_families = families.site_table().map(str::to_owned);
        let path = path.to_owned();
        let (held, pages, used_chunks, key) = (false, None, false, None);
        Self { path, held, metadata, site_families, options, key, pages, used_chunks }
    }

    /// The same, for which the chunks of the core's triage pack are wanted, too.
    #[must_use]
    pub fn with_used_chunks(self) -> Self {
        Self { used_chunks: true, ..self }
    }

    /// The same, of a core that is encrypted with this key.
    #[must_use]
    pub fn with_key(self, key: Option<FileKey>) -> Self {
        Self { key, ..self }
    }

    /// A request for the plan of the pages to leave out of a core.
    pub fn for_plan(path: &Path, classes: PageClasses) -> Self {
        let report = Self::new(path, None, Families::built_in(), ReportOptions::default());
        Self { pages: Some(classes.to_string()), ..report }
    }

    /// The functions that a crash is not named by.
    ///
    /// # Errors
    /// Fails if the table is none.
    pub fn families(&self) -> Result<Families, FamiliesError> {
        match &self.site_families {
            Some(table) => Families::extended(table),
            None => Ok(Families::built_in().clone()),
        }
    }

    /// The request in bytes, with the head of a dump behind it.
    pub fn encode(&self, head: &[u8]) -> Vec<u8> {
        request_line::encode("report", self, head)
    }

    /// The report of a stored core, made by a child within a limit if there is one.
    ///
    /// # Errors
    /// Fails if the core cannot be opened, and whatever else becomes of the child.
    pub fn of_stored(
        &self,
        core: &Path,
        limit: Option<Duration>,
        interrupt: &Interrupt,
    ) -> Result<Answer, ChildError> {
        let core = regular_file::open(core).map_err(ChildError::Start)?;
        let mut child = Child::start(core.into(), self.encode(&[]))?;
        let since = Instant::now();
        let until = limit.and_then(|limit| since.checked_add(limit));
        let limits = ChildLimits { until, interrupt: Some(interrupt) };
        loop {
            match child.wait(&limits, None)? {
                Waited::Answered(answer) => return Answer::decode(&answer),
                Waited::TimeUp => return Err(ChildError::TimeUp { limit: since.elapsed() }),
                Waited::Interrupted(signal) => return Err(ChildError::Interrupted { signal }),
                Waited::Ready => {}
            }
        }
    }
}

impl Answer {
    /// Reads the child's answer, of which nothing is sure.
    ///
    /// # Errors
    /// Fails if it is no report of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChildError> {
        let problem = |problem: String| ChildError::NoReport { problem };
        let answer: Self =
            serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
        if answer.report.schema != SCHEMA {
            return Err(problem("of another schema".to_owned()));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::find::SearchDepth;
    use crate::sandbox::Task;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let families = Families::extended("version 3\n[own]\nfoo_*\n").unwrap();
        let options = ReportOptions { log_lines: 7, search: SearchDepth::All };
        let request = Request::new(Path::new("/a/core"), None, &families, options);
        let (read, head) = Task::read(request.encode(b"\x7fELF\n\n").as_slice()).unwrap();
        let Task::Report(read) = read else { panic!("{read:?}") };
        assert_eq!(head, b"\x7fELF\n\n");
        assert_eq!(
            (read.path.as_path(), read.held, read.options),
            (Path::new("/a/core"), false, options)
        );
        assert_eq!(read.families().unwrap().version(), families.version());
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        let report = Report { schema: "vmcorectl/report/0".to_owned(), ..Report::default() };
        let old = Answer { report: Box::new(report), unconfined: Vec::new(), used_chunks: None };
        for bytes in [b"".to_vec(), b"{}".to_vec(), serde_json::to_vec(&old).unwrap()] {
            assert!(matches!(Answer::decode(&bytes), Err(ChildError::NoReport { .. })));
        }
    }

    /// The program that runs is that of the tests, which knows no such command, and answers
    /// that it ran none.
    #[test]
    fn a_child_that_writes_something_else_is_an_error() {
        let core = tempfile::NamedTempFile::new().unwrap();
        let request =
            Request::new(core.path(), None, Families::built_in(), ReportOptions::default());
        let error = request.of_stored(core.path(), None, &Interrupt::never().unwrap()).unwrap_err();
        assert!(matches!(error, ChildError::NoReport { .. }), "{error}");
    }
}
