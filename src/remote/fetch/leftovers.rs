//! Uploads that were begun and not finished.
//!
//! S3 lists them. Other stores forget them by themselves, or have none to list.

use jiff::Timestamp;
use object_store::path::Path;

use super::objects::{Answered, Failed, Objects};
use super::pages::below_root;
use super::uploads::Refused;
use crate::remote::dated::IdleUpload;
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

fn answer<T: serde::Serialize>(found: &[T]) -> Answered {
    let json = serde_json::to_vec(found).map_err(|error| error.to_string())?;
    if json.len() as u64 > MAX_BYTES {
        return Err("its names are too long for a list".to_owned().into());
    }
    Ok((Outcome::Done, json))
}
