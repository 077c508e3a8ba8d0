//! Imports a dump of another tool: normalised, compressed, with metadata.
//!
//! ```text
//! file ──► Vmcore ──► ElfImage ──► Pipeline ──► tail ──► publish
//!          notes,     one layout   chunks       metadata,
//!          memory                               seek table
//! ```
//!
//! Needs: a file that [`Vmcore::open`] reads. Gives: an entry like that of a
//! capture. Memory that the file does not hold has no segment in it; memory that it should
//! hold and that cannot be read ends the import. Metadata of the file is kept; without any,
//! that of the entry describes the import alone.

mod describe;
mod error;

pub use error::ImportError;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use vmcore_formats::page_class::PageClasses;

use crate::corefile::pack::{Pack, UsedChunks};
use crate::corefile::read::bytes::{Bytes, PlainFile};
use crate::corefile::write::{
    BytesSource, MAX_CORE, Pipeline, Progress, SpoolLimit, StreamOptions, tail,
};
use crate::encryption::{AgeFile, EntryEncryption, FileKey, Sealed, seal_pack};
use crate::interrupt::Interrupt;
use crate::kernel::find::{SearchDepth, note};
use crate::kernel::leave_out;
use crate::metadata::Metadata;
use crate::observer::Observer;
use crate::regular_file;
use crate::sandbox::report::{LIMIT, Request as ReportRequest};
use crate::store::space::Space;
use crate::store::staging::{Destination, Form, Staging};
use crate::store::{StoreError, core_hash, metadata_file, pack_file, report_file};
use crate::triage::crash::families::Families;
use crate::triage::report::{Report, ReportOptions};
use crate::vmcore::elf_image::ElfImage;
use crate::vmcore::{OpenError, Vmcore};
use describe::Missing;

/// What is to be imported, and how.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The file.
    pub file: PathBuf,
    /// Where the entry should go.
    pub destination: Destination,
    /// The guest's name; `None` for the one in the file's metadata, if it has any.
    pub guest: Option<String>,
    /// The key of the file, if that is encrypted.
    pub key: Option<FileKey>,
    /// What the entry is encrypted with, if it is to be.
    pub encryption: Option<Arc<EntryEncryption>>,
    /// The functions that a crash is not named by.
    pub families: Arc<Families>,
    /// How much of memory is searched for VMCOREINFO, if no note has it.
    pub search: SearchDepth,
    /// Which pages are left out of the core.
    pub pages: PageClasses,
    /// The zstd level.
    pub level: i32,
    /// How many threads compress.
    pub threads: usize,
    /// What the file system must keep free, in bytes; `None` for its default.
    pub keep_free: Option<u64>,
}

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// The published entry.
    pub entry: PathBuf,
    /// Its metadata.
    pub metadata: Metadata,
    /// Whether the file was cut off, so that memory is missing that it once had.
    pub cut_off: bool,
}

/// Imports a file.
///
/// One that fails leaves nothing on disk.
pub fn run(
    request: &ImportRequest,
    interrupt: &Interrupt,
    observer: &dyn Observer,
) -> Result<Imported, ImportError> {
    let mut core = open(request)?;
    if request.search == SearchDepth::All {
        core.read_without_limit();
    }
    let info = note::complete(&mut core, request.search);
    let kept = leave_out::apply(&mut core, request.pages);
    let image = ElfImage::build(core.identity(), core.note_bytes(), core.shared_memory())?;
    let missing = Missing::of(core.memory());
    let mut metadata = describe::begin(request, &core, &missing, &info);
    metadata.warnings.extend(kept);
    for warning in &metadata.warnings {
        observer.warning(warning);
    }
    let image = Arc::new(image);
    let encryption = request.encryption.as_deref();
    let guest = metadata.guest.name.as_deref();
    let guest = encryption.map_or(guest.map(str::to_owned), |it| it.guest(guest));
    let form = encryption.map_or(Form::Plain, |_| Form::Encrypted);
    let now = Timestamp::now();
    let (staging, file) = Staging::create_as(form, &request.destination, guest.as_deref(), now)?;
    metadata.id = staging.id().to_owned();
    if let Some(warning) = staging.lock_warning() {
        observer.warning(&warning);
        metadata.warnings.push(warning);
    }
    observer.step(&format!("importing {}", request.file.display()));
    let written = write(request, &core, &image, &staging, file, &mut metadata, &|progress| {
        observer.progress(progress);
        !interrupt.is_raised()
    });
    observer.dump_ended();
    if let Err(error) = written {
        staging.discard();
        return Err(match error {
            ImportError::Stopped { .. } => ImportError::Stopped { signal: interrupt.signal_name() },
            other => other,
        });
    }
    let (entry, synced) = staging.publish()?;
    if let Err(error) = synced {
        observer.warning(&format!(
            "the entry is complete, but may not survive a crash of the host: {error}"
        ));
    }
    write_report(request, staging.core_file(), &metadata, interrupt, observer);
    Ok(Imported { entry, metadata, cut_off: missing.cut_off > 0 })
}

/// Opens the file, encrypted or not.
fn open(request: &ImportRequest) -> Result<Vmcore, ImportError> {
    let path = &request.file;
    let Some(key) = &request.key else { return Ok(Vmcore::open(path)?) };
    let file = regular_file::open(path).and_then(PlainFile::new);
    let file = file.map_err(|source| OpenError::Io { path: path.clone(), source })?;
    Ok(Vmcore::of_bytes(Arc::new(AgeFile::with_key(Arc::new(file), key)?), path)?)
}

/// Writes the report beside the core. The entry is complete without it.
fn write_report(
    request: &ImportRequest,
    core: &Path,
    metadata: &Metadata,
    interrupt: &Interrupt,
    observer: &dyn Observer,
) {
    let encryption = request.encryption.as_deref();
    let asked = ReportRequest::new(
        core,
        Some(metadata.clone()),
        &request.families,
        ReportOptions::default(),
    );
    // This process has just written it; nobody but the recipients can read it afterwards.
    let asked = asked.with_key(encryption.map(|encryption| encryption.core().key().clone()));
    let mut used_chunks = None;
    let report = match asked.with_used_chunks().of_stored(core, Some(LIMIT), interrupt) {
        Ok(answer) => {
            observer.title(&answer.report.title);
            used_chunks = answer.used_chunks;
            answer.report
        }
        Err(error) => {
            let problem = format!("no report: {error}");
            observer.warning(&problem);
            Box::new(Report::not_made(Some(metadata), &problem))
        }
    };
    let failed = |source| StoreError::io("write", core, source);
    let file = encryption.report_file(report.to_json()).map_err(failed);
    let written = file.and_then(|file| report_file::write(core, &file));
    let titled = match encryption {
        None => Ok(()),
        Some(encryption) => {
            let mut metadata = metadata.clone();
            metadata.title = Some(report.title.clone());
            metadata.signature.clone_from(&report.signature);
            let bytes = core.metadata().ok().map(|file| file.len());
            metadata_file::replace(core, &encryption.clear(&metadata, bytes))
        }
    };
    if let Err(error) = written.and(titled) {
        observer.warning(&format!("the report is not beside the core: {error}"));
    }
    if let Some(used) = used_chunks.filter(|_| pack_file::path(core).is_some())
        && let Err(problem) = write_pack(core, encryption, &used)
    {
        observer.warning(&format!("no triage pack: {problem}"));
    }
    if encryption.is_some()
        && let Err(error) = core_hash::record(core, &|| interrupt.is_raised())
    {
        observer.warning(&format!("no SHA-256 of the encrypted core: {error}"));
    }
}

fn write_pack(
    core: &Path,
    encryption: Option<&EntryEncryption>,
    used: &UsedChunks,
) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(encryption) = encryption {
        let sealed = seal_pack(core, encryption.core().key(), encryption.pack(), used)?;
        return Ok(pack_file::replace(core, sealed.len() as u64, |out| out.write_all(&sealed))?);
    }
    let pack = Pack::of_file(core, used)?;
    Ok(pack_file::replace(core, pack.length(), |out| pack.write(out))?)
}

fn write(
    request: &ImportRequest,
    core: &Vmcore,
    image: &Arc<ElfImage>,
    staging: &Staging,
    file: File,
    metadata: &mut Metadata,
    watch: &dyn Fn(Progress) -> bool,
) -> Result<(), ImportError> {
    // Says what it is, should the import be killed.
    let encryption = request.encryption.as_deref();
    let core_error = |source| StoreError::io("complete", staging.staged(), source);
    let files = encryption.metadata_files(metadata, None).map_err(core_error)?;
    staging.write_metadata(&files, false)?;
    let reserve = match request.keep_free {
        Some(reserve) => reserve,
        None => Space::of(request.destination.path()).map_or(0, |space| space.default_reserve()),
    };
    let memory = image.length();
    let options = StreamOptions {
        level: request.level,
        threads: request.threads,
        reserve,
        memory,
        // No guest waits for the end of the reading.
        spool: SpoolLimit::NONE,
    };
    if memory > MAX_CORE {
        return Err(ImportError::Start { source: io::ErrorKind::FileTooLarge.into() });
    }
    let source = BytesSource(Arc::<ElfImage>::clone(image));
    let sink = encryption.sink(file).map_err(core_error)?;
    let pipeline =
        Pipeline::start(source, sink, options).map_err(|source| ImportError::Start { source })?;
    let mut written = match pipeline.wait(watch) {
        Some(Ok(written)) => written,
        Some(Err(error)) => {
            return Err(ImportError::of(error, &request.file, staging.core_file()));
        }
        None => return Err(ImportError::Stopped { signal: "a signal" }),
    };
    written.sink.sync_data().map_err(core_error)?;
    let packed = describe::Packed {
        table: &written.table,
        zero_bytes: pipeline.zero_bytes(),
        threads: pipeline.threads(),
    };
    describe::end(metadata, core, image, &packed, staging);
    let json = metadata.to_json();
    tail::append(&mut written, &json).map_err(core_error)?;
    written.sink.sync_all().map_err(core_error)?;
    let files = encryption.metadata_files(metadata, staging.core_bytes()).map_err(core_error)?;
    Ok(staging.write_metadata(&files, true)?)
}
