//! The client of HTTP below that of object storage, and what is looked at on its way.
//!
//! - The server's date: ages are counted by it, and a host whose clock is another one gets to know
//!   why its signatures are refused.
//! - The body of one small object ([`CHECKED`]) is changed after it was signed and its checksum
//!   computed. A server that takes it does not check what it receives.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
    ReqwestConnector,
};

/// The object whose body is changed on its way.
pub(super) const CHECKED: &str = ".vmcorectl-checks";
/// What is signed, and what is sent instead.
pub(super) const SIGNED: &[u8] =
    b"By this object, vmcorectl finds out whether the server checks what it receives: no.\n";
const SENT: &[u8] =
    b"By this object, vmcorectl found out that the server does not check what it receives\n";
/// By how much the clocks may differ before that is a reason: S3 accepts 15 minutes.
const APART: SignedDuration = SignedDuration::from_mins(5);

/// Makes clients, and has the clock of the server that they talk to.
#[derive(Clone, Debug, Default)]
pub(super) struct Connector {
    pub(super) clock: Arc<ServerClock>,
}

/// The clock of the server: how far it is ahead of this host's.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    ahead: Mutex<Option<SignedDuration>>,
}

impl ServerClock {
    fn keep(&self, date: &str) {
        if let Ok(date) = rfc2822::DateTimeParser::new().parse_timestamp(date) {
            let ahead = date.duration_since(Timestamp::now());
            *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
    }

    fn ahead(&self) -> Option<SignedDuration> {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the time is there; by this host's clock if no answer had a date.
    pub(super) fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(self.ahead().unwrap_or_default()).unwrap_or(now)
    }

    /// A refusal, with its reason if that may be the clock.
    pub(super) fn explain(&self, problem: String) -> String {
        let is_refused = ["access is denied", "credentials are not accepted", "TimeTooSkewed"]
            .iter()
            .any(|text| problem.contains(text));
        match self.ahead().filter(|ahead| is_refused && ahead.abs() > APART) {
            Some(ahead) => {
                let than = if ahead.is_positive() { "behind" } else { "ahead of" };
                let by = SignedDuration::from_secs(ahead.abs().as_secs());
                let date = self.now().strftime("%Y-%m-%dT%H:%M:%SZ");
                format!(
                    "{problem}: the clock of this host is {by:#} {than} the server's, which says \
                     {date}, and signatures of another time are refused"
                )
            }
            None => problem,
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Connection { client, clock: Arc::clone(&self.clock) }))
    }
}

/// The client.
#[derive(Debug)]
struct Connection {
    client: HttpClient,
    clock: Arc<ServerClock>,
}

#[async_trait]
impl HttpService for Connection {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_probe = request.uri().path().rsplit('/').next() == Some(CHECKED);
        if is_probe && request.body().content_length() == SENT.len() {
            *request.body_mut() = HttpRequestBody::from(SENT.to_vec());
        }
        let response = self.client.execute(request).await?;
        if let Some(date) = response.headers().get("date").and_then(|date| date.to_str().ok()) {
            self.clock.keep(date);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_instead_is_as_long() {
        assert_eq!(SIGNED.len(), SENT.len());
        assert_ne!(SIGNED, SENT);
    }

    #[test]
    fn a_refusal_for_the_clock_has_the_servers_date() {
        let clock = ServerClock::default();
        let refused = || clock.explain("access is denied: RequestTimeTooSkewed".to_owned());
        assert_eq!(refused(), "access is denied: RequestTimeTooSkewed");
        clock.keep("Thu, 01 Jan 2026 00:00:00 GMT");
        let text = refused();
        assert!(text.contains("ahead of the server's, which says 2026-01-01T00:00:0"), "{text}");
        let text = clock.explain("no space".to_owned());
        assert_eq!(text, "no space");
    }
}
