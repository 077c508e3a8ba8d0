//! How a capture ended: from its exit code and its metadata to what became of the guest.

use std::io;
use std::path::PathBuf;

use super::Job;
use crate::metadata::{CaptureResult, Metadata};
use crate::store::INCOMPLETE;
use crate::watch::config::Config;
use crate::watch::news::{Ended, Fate};
use crate::watch::process::Output;

/// From what a process printed, and its end.
pub(super) fn result(
    output: io::Result<Output>,
    job: &Job,
    config: &Config,
    left_out: Option<String>,
) -> Ended {
    let output = match output {
        Ok(output) => output,
        Err(error) => return Ended::failed(format!("cannot run the capture: {error}"), left_out),
    };
    let metadata: Option<Box<Metadata>> = serde_json::from_slice(&output.stdout).ok();
    let code = output.status.code();
    let fate = match code {
        Some(0 | 3) if stays_held(metadata.as_deref()) => Fate::Held,
        Some(0 | 3 | 6) => Fate::Released,
        Some(4) => Fate::NotPanicked,
        Some(5) => Fate::NotReleased,
        _ => Fate::Failed,
    };
    let problem = match code {
        Some(0) => None,
        None if output.was_ended => Some("the capture took too long and was killed".to_owned()),
        None => Some(format!("the capture crashed: {}", output.status)),
        Some(code) => {
            Some(output.error.unwrap_or_else(|| format!("the capture ended with code {code}")))
        }
    };
    let result = match code {
        Some(0 | 3) if left_out.is_some() => "left-out",
        Some(0) => "complete",
        Some(3) => "incomplete",
        Some(4) => "not-panicked",
        Some(5) => "not-released",
        Some(6) => "released-without-dump",
        _ => "failed",
    };
    let entry = metadata.as_ref().and_then(|metadata| entry(job, config, metadata));
    Ended { fate, result, entry, metadata, title: output.title, problem, left_out }
}

/// Whether the guest was left held on purpose.
fn stays_held(metadata: Option<&Metadata>) -> bool {
    let release = metadata.and_then(|metadata| metadata.release.as_ref());
    release.is_some_and(|release| {
        release.action == "hold" && release.state_after.as_deref() != Some("running")
    })
}

/// Where the entry of this metadata is.
fn entry(job: &Job, config: &Config, metadata: &Metadata) -> Option<PathBuf> {
    if metadata.id.is_empty() {
        return None;
    }
    let folder = config.guest_folder(&job.store, metadata.guest.name.as_deref());
    let published = folder.join(&metadata.id);
    // What is incomplete is published only without a core.
    let is_published = metadata.result == CaptureResult::Complete || published.is_dir();
    Some(if is_published { published } else { folder.join(format!("{}{INCOMPLETE}", metadata.id)) })
}
