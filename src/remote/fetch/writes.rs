//! Whole objects that are written, and removed.
//!
//! What is to be new is put with `If-None-Match: *`. A server may ignore that, and overwrite. So it
//! is probed once: an object of a fixed name, which stays, is created twice. Where the second time
//! works, too, the name is looked at before and after.
//!
//! Another probe finds out whether the server compares what it receives with the checksum that was
//! sent: it gets an object whose body was changed on the way ([`super::connection`]).

use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt, PutMode, PutOptions};

use super::connection::{CHECKED, SIGNED};
use super::objects::{Answered, Failed, Objects};
use super::reason;
use crate::remote::wire::Outcome;

/// What is created twice.
const PROBE: &str = ".vmcorectl-conditions";
const PROBE_TEXT: &[u8] =
    b"By this object, vmcorectl finds out whether the server keeps to If-None-Match.\n";

impl Objects {
    pub(super) async fn put(&self, name: &str, body: Vec<u8>) -> Answered {
        let (path, _) = self.writable(name)?;
        self.store().put(&path, body.into()).await?;
        Ok((Outcome::Done, Vec::new()))
    }

    pub(super) async fn put_new(&self, name: &str, body: Vec<u8>) -> Answered {
        let (path, _) = self.writable(name)?;
        let checked = *self.conditions.get_or_try_init(|| self.probe()).await?;
        let created = match checked {
            true => self.create(&path, body).await?,
            false => self.create_if_none_is_seen(&path, body).await?,
        };
        Ok((Outcome::Put { created, checked }, Vec::new()))
    }

    pub(super) async fn delete(&self, name: &str) -> Answered {
        let (path, _) = self.writable(name)?;
        match self.store().delete(&path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok((Outcome::Done, Vec::new())),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the server keeps to the condition.
    async fn probe(&self) -> Result<bool, Failed> {
        let (path, _) = self.writable(PROBE)?;
        for _ in 0..2 {
            match self.create(&path, PROBE_TEXT.to_vec()).await {
                Ok(true) => {}
                Ok(false) => return Ok(true),
                // It does not know the condition, and says so.
                Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
                    return Ok(false);
                }
                Err(error) if error.to_string().contains("501 Not Implemented") => {
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    pub(super) async fn checks(&self) -> Answered {
        let checks = *self.checks.get_or_try_init(|| self.probe_checks()).await?;
        Ok((Outcome::Done, vec![u8::from(checks)]))
    }

    /// Whether the server refuses an object that is not the one that was signed.
    async fn probe_checks(&self) -> Result<bool, Failed> {
        let (path, _) = self.writable(CHECKED)?;
        match self.store().put(&path, SIGNED.to_vec().into()).await {
            Ok(_) => {
                // It may have no right to remove: what stays is small, and says what it is.
                let _ = self.store().delete(&path).await;
                Ok(false)
            }
            // What else is wrong is found out by what follows.
            Err(error) => Ok(reason::is_of_a_checksum(&error)),
        }
    }

    /// Whether the object was created.
    async fn create(&self, path: &Path, body: Vec<u8>) -> Result<bool, StoreError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store().put_opts(path, body.into(), options).await {
            Ok(_) => Ok(true),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The same, without the server's help: of two writers at the same time, the last one wins, and
    /// both read its object.
    async fn create_if_none_is_seen(&self, path: &Path, body: Vec<u8>) -> Result<bool, Failed> {
        match self.store().head(path).await {
            Ok(_) => return Ok(false),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.store().put(path, body.clone().into()).await?;
        Ok(self.store().get(path).await?.bytes().await? == body)
    }
}
