//! Uploads that were begun and not finished, as S3 lists them: the client has no such list.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer;
use url::Url;

use super::reason;

/// The most pages of a list that are asked for.
const MAX_PAGES: usize = 100;
/// How long an address is signed for that is not used as such.
const SIGNED_FOR: Duration = Duration::from_secs(60);

/// What lists uploads.
pub(super) struct Uploads {
    pub(super) store: Arc<AmazonS3>,
    pub(super) client: HttpClient,
    pub(super) region: String,
}

/// Why there is no list.
pub(super) enum Refused {
    NotFound,
    Because(String),
}

impl<E: Error> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Because(reason::of_any(&error))
    }
}

/// An upload, as the server lists it.
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) id: String,
    /// When, as the server writes it.
    pub(super) begun: String,
}

impl Uploads {
    /// All uploads below a key.
    pub(super) async fn list(&self, below: &str) -> Result<Vec<Begun>, Refused> {
        let below = if below.is_empty() { String::new() } else { format!("{below}/") };
        let mut found = Vec::new();
        let mut after: Option<(String, String)> = None;
        for _ in 0..MAX_PAGES {
            let mut query = vec![("uploads", ""), ("prefix", &below)];
            if let Some((key, id)) = &after {
                query.extend([("key-marker", key.as_str()), ("upload-id-marker", id.as_str())]);
            }
            let text = self.get(None, &query).await?;
            for upload in elements(&text, "Upload") {
                let field = |name| element(upload, name).unwrap_or_default();
                let (key, id) = (field("Key"), field("UploadId"));
                // A server may ignore the prefix.
                if !id.is_empty() && key.starts_with(&below) {
                    found.push(Begun { key, id, begun: field("Initiated") });
                }
            }
            let marker = (element(&text, "NextKeyMarker"), element(&text, "NextUploadIdMarker"));
            after = match marker {
                (Some(key), Some(id)) if is_cut(&text) && !key.is_empty() => Some((key, id)),
                _ => return Ok(found),
            };
        }
        Ok(found)
    }

    /// When the newest part of an upload was sent, if there is one.
    pub(super) async fn newest_part(
        &self,
        key: &Path,
        id: &str,
    ) -> Result<Option<String>, Refused> {
        let mut newest: Option<String> = None;
        let mut after = "0".to_owned();
        for _ in 0..MAX_PAGES {
            let query = [("uploadId", id), ("part-number-marker", &after)];
            let text = match self.get(Some(key), &query).await {
                // It was finished or given up meanwhile.
                Err(Refused::NotFound) => return Ok(newest),
                text => text?,
            };
            // Times of one format are in order as texts are.
            let times = elements(&text, "Part").filter_map(|part| element(part, "LastModified"));
            newest = times.chain(newest).max();
            match element(&text, "NextPartNumberMarker") {
                Some(next) if is_cut(&text) && next != after => after = next,
                _ => return Ok(newest),
            }
        }
        Ok(newest)
    }

    /// What the server answers for the bucket, or a key in it.
    async fn get(&self, key: Option<&Path>, query: &[(&str, &str)]) -> Result<String, Refused> {
        // The client has the address of a key, and of none but that.
        let probe = Path::from("x");
        let signed = self.store.signed_url(reqwest::Method::GET, key.unwrap_or(&probe), SIGNED_FOR);
        let mut url: Url = signed.await?;
        if key.is_none() {
            let bucket = url.path().strip_suffix('x').unwrap_or_default().to_owned();
            url.set_path(&bucket);
        }
        url.query_pairs_mut().clear().extend_pairs(query);
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() =
            url.as_str().parse().map_err(|_| Refused::Because("it is no URL".to_owned()))?;
        let credential = self.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        let response = self.client.execute(request).await?;
        let status = response.status();
        let body = response.into_body().bytes().await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match status.as_u16() {
            200 => Ok(text),
            404 => Err(Refused::NotFound),
            status => {
                let code = element(&text, "Code").unwrap_or_default();
                let code: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
                Err(Refused::Because(format!("a list of uploads is refused: {status} {code}")))
            }
        }
    }
}

/// What is inside each element of a name.
fn elements<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&start)?;
        let (inside, after) = after.split_once(&end)?;
        rest = after;
        Some(inside)
    })
}

/// The text of the first element of a name.
fn element(text: &str, name: &str) -> Option<String> {
    let inside = elements(text, name).next()?.trim();
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&amp;", "&")];
    Some(plain.iter().fold(inside.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// Whether there are more pages.
fn is_cut(text: &str) -> bool {
    element(text, "IsTruncated").is_some_and(|cut| cut == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_uploads_is_read_whatever_else_is_in_it() {
        let text = "<R><IsTruncated>true</IsTruncated><Upload><Key>a/b&amp;c</Key><UploadId>1</UploadId>\
                    <Owner><ID>x</ID></Owner></Upload><Upload><Key>d</Key></Upload><Upload><Key>e";
        let keys: Vec<_> = elements(text, "Upload").filter_map(|one| element(one, "Key")).collect();
        assert_eq!(keys, ["a/b&c", "d"]);
        assert!(is_cut(text) && element(text, "NextKeyMarker").is_none());
    }
}
