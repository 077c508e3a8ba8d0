//! The files in which AWS's programs look for credentials: `~/.aws/credentials` and
//! `~/.aws/config`, with their `credential_process`.
//!
//! Containers have their own ([`super::container`]), and the client has all other sources: variables,
//! web identity, the instance's metadata. As with AWS's own programs, keys in the environment come before those of a profile.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use serde::Deserialize;

use super::aws_credentials::{Temporary, failed};
use super::environment::Environment;
use crate::regular_file;

/// The longest file, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The version of what a program prints.
const PRINTED: u32 = 1;

/// What a profile says.
#[derive(Default)]
pub(super) struct Profile {
    pub(super) credentials: Option<AwsCredentialProvider>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

type Section = BTreeMap<String, String>;

/// The profile that is chosen by `AWS_PROFILE`, else that of the name `default`.
///
/// # Errors
/// Fails if one was named and is not there.
pub(super) fn read(environment: &Environment) -> Result<Profile, String> {
    let named = environment.get("AWS_PROFILE");
    let name = named.unwrap_or("default");
    let read = |variable, below_home| {
        let file = environment.file(variable, below_home)?;
        String::from_utf8(regular_file::read(&file, MAX_FILE).ok()?).ok()
    };
    let credentials = read("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
    let config = read("AWS_CONFIG_FILE", ".aws/config");
    let keys = credentials.and_then(|text| section(&text, name));
    let config = config.and_then(|text| match name {
        "default" => section(&text, name).or_else(|| section(&text, "profile default")),
        name => section(&text, &format!("profile {name}")),
    });
    if named.is_some() && keys.is_none() && config.is_none() {
        return Err(format!("there is no AWS profile {name:?} in its files"));
    }
    let (keys, config) = (keys.unwrap_or_default(), config.unwrap_or_default());
    let get = |key: &str| keys.get(key).or_else(|| config.get(key)).cloned();
    let own = environment.get("AWS_ACCESS_KEY_ID").is_some()
        || (named.is_none() && environment.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some());
    let credentials = if own { None } else { credentials_of(&get) };
    Ok(Profile { credentials, region: get("region"), endpoint: get("endpoint_url") })
}

fn credentials_of(get: &dyn Fn(&str) -> Option<String>) -> Option<AwsCredentialProvider> {
    if let (Some(key_id), Some(secret_key)) =
        (get("aws_access_key_id"), get("aws_secret_access_key"))
    {
        let token = get("aws_session_token");
        let credential = AwsCredential { key_id, secret_key, token };
        return Some(Arc::new(object_store::StaticCredentialProvider::new(credential)));
    }
    let command = get("credential_process")?;
    Some(Arc::new(CredentialProcess { command, last: Mutex::default() }))
}

/// The lines of a section, if the file has it. Nested settings are none of ours.
fn section(text: &str, name: &str) -> Option<Section> {
    let mut found: Option<Section> = None;
    let mut inside = false;
    for line in text.lines().filter(|line| !line.starts_with([' ', '\t', '#', ';'])) {
        if let Some(header) = line.trim().strip_prefix('[').and_then(|line| line.split_once(']')) {
            inside = header.0.split_whitespace().eq(name.split_whitespace());
            if inside {
                found.get_or_insert_default();
            }
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_owned());
            if !value.is_empty() {
                found.get_or_insert_default().insert(key, value);
            }
        }
    }
    found
}

/// Credentials from a program, replaced before they end.
struct CredentialProcess {
    command: String,
    last: Mutex<Option<Temporary>>,
}

/// A command line may have secrets.
impl std::fmt::Debug for CredentialProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialProcess").finish_non_exhaustive()
    }
}

/// What the program prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<Timestamp>,
}

impl CredentialProcess {
    fn run(&self) -> Result<Temporary, String> {
        let output = Command::new("/bin/sh")
            .args(["-c", &self.command])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(|error| format!("credential_process cannot be started: {error}"))?;
        if !output.status.success() {
            return Err(format!("credential_process has failed: {}", output.status));
        }
        // The text of a parser's error may have a part of the input.
        let printed: Printed = serde_json::from_slice(&output.stdout)
            .map_err(|_| "credential_process has printed no credentials".to_owned())?;
        if printed.version != PRINTED {
            let version = printed.version;
            return Err(format!(
                "credential_process has printed version {version}, and {PRINTED} is known"
            ));
        }
        let credential = AwsCredential {
            key_id: printed.access_key_id,
            secret_key: printed.secret_access_key,
            token: printed.session_token,
        };
        Temporary::new(credential, printed.expiration, "credential_process")
    }
}

#[async_trait]
impl CredentialProvider for CredentialProcess {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.lasts()) {
            return Ok(Arc::clone(&last.credential));
        }
        let printed = self.run().map_err(failed)?;
        Ok(Arc::clone(&last.insert(printed).credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_its_own_lines_alone() {
        let text = "# c\n[default]\naws_access_key_id = a\n[profile  b]\nregion=eu\ns3 =\n  endpoint_url = x\n[c]\nregion = us\n";
        let found = section(text, "profile b").unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("region".to_owned(), "eu".to_owned())]);
        assert_eq!(section(text, "default").unwrap()["aws_access_key_id"], "a");
        assert!(section(text, "d").is_none());
    }

    #[test]
    fn a_profile_that_was_named_and_is_not_there_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        let variables = [("HOME", home.path().to_str().unwrap()), ("AWS_PROFILE", "x")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        assert!(read(&Environment::of(variables.into_iter())).is_err());
    }
}
