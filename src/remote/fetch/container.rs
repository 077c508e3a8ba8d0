//! Credentials of a container: from an agent beside it, at the address that the variables of AWS's
//! programs name (ECS, EKS Pod Identity, `IoT` Greengrass).
//!
//! The client of object storage knows such an address with a file of a token alone. Here the token
//! may also be a variable, or there may be none.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::sleep;
use url::{Host, Url};

use super::aws_credentials::{Temporary, failed};
use super::environment::Environment;
use super::reason;
use crate::regular_file;

/// Where ECS has its agent.
const ECS: &str = "http://169.254.170.2";
/// The addresses that may be asked without TLS, besides those of this host.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
/// The longest token, in bytes.
const MAX_TOKEN: u64 = 64 << 10;
/// How often an agent is asked that does not answer as it should.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// What gives the credentials, if the variables name an agent.
///
/// # Errors
/// Fails if it is no address that a token is sent to.
pub(super) fn provider(
    environment: &Environment,
    client: impl FnOnce() -> Result<HttpClient, String>,
) -> Result<Option<AwsCredentialProvider>, String> {
    let variable = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let address = match (relative, environment.get(variable)) {
        (Some(path), _) => format!("{ECS}{path}"),
        (None, Some(address)) => address.to_owned(),
        (None, None) => return Ok(None),
    };
    let url = Url::parse(&address).ok().filter(may_be_asked);
    let url = url.ok_or_else(|| {
        format!("{variable} is neither of https:// nor an address of this host or of an agent")
    })?;
    let token = match environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Token::File(file.to_owned()),
        None => {
            Token::Text(environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned))
        }
    };
    let (client, last) = (client()?, Mutex::default());
    Ok(Some(Arc::new(Container { url, token, client, last })))
}

/// Whether a token may be sent there: as AWS's programs do, encrypted or to the host itself.
fn may_be_asked(url: &Url) -> bool {
    let is_near = |address: IpAddr| {
        address.is_loopback() || AGENTS.iter().any(|agent| agent.parse() == Ok(address))
    };
    match (url.scheme(), url.host()) {
        ("https", _) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => is_near(address.into()),
        ("http", Some(Host::Ipv6(address))) => is_near(address.into()),
        _ => false,
    }
}

/// What the agent wants to be sent.
enum Token {
    Text(Option<String>),
    /// Read each time: it is replaced before it expires.
    File(String),
}

struct Container {
    url: Url,
    token: Token,
    client: HttpClient,
    last: Mutex<Option<Temporary>>,
}

/// The address may have secrets, and the token is one.
impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container").finish_non_exhaustive()
    }
}

/// What the agent answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<Timestamp>,
}

impl Container {
    fn token(&self) -> Result<Option<HeaderValue>, String> {
        let text = match &self.token {
            Token::Text(text) => text.clone(),
            Token::File(file) => {
                let bytes = regular_file::read(file.as_ref(), MAX_TOKEN);
                let bytes = bytes.map_err(|error| format!("cannot read the token {file}: {error}"));
                Some(String::from_utf8_lossy(&bytes?).into_owned())
            }
        };
        let Some(text) = text else { return Ok(None) };
        let mut value = HeaderValue::from_str(text.trim())
            .map_err(|_| "the container's token has characters that no header has".to_owned())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    async fn fetch(&self) -> Result<Temporary, String> {
        let token = self.token()?;
        let mut problem = String::new();
        for tried in 0..TRIES {
            if tried > 0 {
                sleep(PAUSE * tried).await;
            }
            match self.ask(token.as_ref()).await {
                Ok((200, body)) => {
                    // The text of a parser's error may have a part of the input.
                    let answer: Answer = serde_json::from_slice(&body)
                        .map_err(|_| "the container's agent has answered no credentials")?;
                    let credential = AwsCredential {
                        key_id: answer.access_key_id,
                        secret_key: answer.secret_access_key,
                        token: answer.token,
                    };
                    return Temporary::new(credential, answer.expiration, "the container's agent");
                }
                Ok((status, _)) => {
                    problem =
                        format!("the container's agent has answered with the status {status}");
                    if status < 500 && status != 429 {
                        break;
                    }
                }
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    async fn ask(&self, token: Option<&HeaderValue>) -> Result<(u16, Vec<u8>), String> {
        let text = |error: &dyn std::error::Error| {
            format!("the container's agent does not answer: {}", reason::of_any(error))
        };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = self.url.as_str().parse().map_err(|error| text(&error))?;
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let response = self.client.execute(request).await.map_err(|error| text(&error))?;
        let status = response.status().as_u16();
        let body = response.into_body().bytes().await.map_err(|error| text(&error))?;
        Ok((status, body.to_vec()))
    }
}

#[async_trait]
impl CredentialProvider for Container {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref().filter(|last| last.lasts()) {
            return Ok(Arc::clone(&last.credential));
        }
        let fetched = self.fetch().await.map_err(failed)?;
        Ok(Arc::clone(&last.insert(fetched).credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_to_the_host_itself_or_encrypted() {
        for (address, may) in [
            ("https://agent.example/x", true),
            ("http://localhost:80/x", true),
            ("http://127.0.0.1/x", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://169.254.169.254/x", false),
            ("http://agent.example/x", false),
            ("ftp://127.0.0.1/x", false),
        ] {
            assert_eq!(may_be_asked(&Url::parse(address).unwrap()), may, "{address}");
        }
    }
}
