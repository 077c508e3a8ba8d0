//! Uploads in parts. Nothing of them is kept here: who asks has the ids.

use object_store::multipart::PartId;

use super::objects::{Answered, Objects};
use crate::remote::wire::Outcome;

/// The most parts of an upload: S3's limit.
const MAX_PARTS: usize = 10_000;

impl Objects {
    pub(super) async fn begin(&self, name: &str) -> Answered {
        let (path, parts) = self.writable(name)?;
        let upload = parts.create_multipart(&path).await?;
        Ok((Outcome::Done, upload.into_bytes()))
    }

    pub(super) async fn part(
        &self,
        name: &str,
        upload: String,
        number: usize,
        body: Vec<u8>,
    ) -> Answered {
        let (path, parts) = self.writable(name)?;
        if number >= MAX_PARTS {
            return Err(format!("an upload has {MAX_PARTS} parts at the most").into());
        }
        let part = parts.put_part(&path, &upload, number, body.into()).await?;
        Ok((Outcome::Done, part.content_id.into_bytes()))
    }

    pub(super) async fn finish(&self, name: &str, upload: String, ids: &[u8]) -> Answered {
        let (path, parts) = self.writable(name)?;
        let ids: Vec<String> = serde_json::from_slice(ids).map_err(|error| error.to_string())?;
        let ids = ids.into_iter().map(|content_id| PartId { content_id }).collect();
        parts.complete_multipart(&path, &upload, ids).await?;
        Ok((Outcome::Done, Vec::new()))
    }

    pub(super) async fn abort(&self, name: &str, upload: String) -> Answered {
        let (path, parts) = self.writable(name)?;
        parts.abort_multipart(&path, &upload).await?;
        Ok((Outcome::Done, Vec::new()))
    }
}
