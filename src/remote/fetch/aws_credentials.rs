//! Credentials that end: kept until shortly before.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use object_store::Error as StoreError;
use object_store::aws::AwsCredential;

/// How long before their end credentials are replaced.
const BEFORE_END: SignedDuration = SignedDuration::from_mins(5);

/// Credentials, and when they end.
pub(super) struct Temporary {
    pub(super) credential: Arc<AwsCredential>,
    end: Option<Timestamp>,
}

impl Temporary {
    /// Credentials that were just given by something.
    pub(super) fn new(
        credential: AwsCredential,
        end: Option<Timestamp>,
        by: &str,
    ) -> Result<Self, String> {
        if let Some(end) = end.filter(|end| *end <= Timestamp::now()) {
            let date = end.strftime("%Y-%m-%dT%H:%M:%SZ");
            return Err(format!("{by} has given credentials that expired at {date}"));
        }
        Ok(Self { credential: Arc::new(credential), end })
    }

    /// Whether they are not to be replaced yet.
    pub(super) fn lasts(&self) -> bool {
        let soon = Timestamp::now().saturating_add(BEFORE_END).unwrap_or(Timestamp::MAX);
        self.end.is_none_or(|end| end > soon)
    }
}

/// No request was made: what there is to say is why there are no credentials.
pub(super) fn failed(problem: String) -> StoreError {
    StoreError::Generic { store: "S3", source: problem.into() }
}
