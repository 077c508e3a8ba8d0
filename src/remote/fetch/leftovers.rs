//! When objects were written, and uploads that were begun and not finished.
//!
//! S3 lists uploads. Other stores forget them by themselves, or have none to list.

use futures_util::TryStreamExt;
use jiff::Timestamp;
use object_store::path::Path;

use super::objects::{Answered, Failed, MAX_LISTED, Objects};
use super::uploads::Refused;
use crate::remote::dated::{DatedObject, IdleUpload};
use crate::remote::wire::{MAX_BYTES, Outcome};

/// The most uploads whose parts are asked for.
const MAX_UPLOADS: usize = 10_000;

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Self::NotFound,
            Refused::Because(problem) => Self::Because(problem),
        }
    }
}

impl Objects {
    /// The objects below a name, and how long ago each was written, by the server's clock.
    pub(super) async fn list_dated(&self, below: &str) -> Answered {
        let (root, path) = (self.root(), self.path(below)?);
        let prefix = (!path.as_ref().is_empty()).then_some(&path);
        let mut objects = self.store().list(prefix);
        let mut found = Vec::new();
        while let Some(object) = objects.try_next().await? {
            let name = below_root(object.location.as_ref(), root.as_ref());
            let written = object.last_modified.timestamp();
            let age = self.clock().now().as_second().saturating_sub(written);
            let age = u64::try_from(age).unwrap_or_default();
            found.push(DatedObject { name, bytes: object.size, age });
            if found.len() > MAX_LISTED {
                return Err(format!("it has more than {MAX_LISTED} objects").into());
            }
        }
        answer(&found)
    }

    /// Uploads below a name of which nothing was sent for so many seconds.
    pub(super) async fn idle_uploads(&self, below: &str, seconds: u64) -> Answered {
        let Some(uploads) = self.uploads() else { return answer::<IdleUpload>(&[]) };
        let (root, path) = (self.root(), self.path(below)?);
        let age = |text: &str| {
            let time: Option<Timestamp> = text.parse().ok();
            let age = self.clock().now().as_second().saturating_sub(time?.as_second());
            Some(u64::try_from(age).unwrap_or_default())
        };
        let mut found = Vec::new();
        for begun in uploads.list(path.as_ref()).await? {
            // A time that cannot be read is that of now.
            let Some(since_begun) = age(&begun.begun).filter(|age| *age >= seconds) else {
                continue;
            };
            let key = Path::parse(&begun.key).map_err(|error| error.to_string())?;
            let sent = uploads.newest_part(&key, &begun.id).await?;
            let idle = sent.map_or(Some(since_begun), |sent| age(&sent)).unwrap_or_default();
            if idle >= seconds && found.len() < MAX_UPLOADS {
                let name = below_root(&begun.key, root.as_ref());
                found.push(IdleUpload { name, id: begun.id, idle });
            }
        }
        answer(&found)
    }
}

fn below_root(key: &str, root: &str) -> String {
    key.strip_prefix(root).unwrap_or_default().trim_start_matches('/').to_owned()
}

fn answer<T: serde::Serialize>(found: &[T]) -> Answered {
    let json = serde_json::to_vec(found).map_err(|error| error.to_string())?;
    if json.len() as u64 > MAX_BYTES {
        return Err("its names are too long for a list".to_owned().into());
    }
    Ok((Outcome::Done, json))
}
