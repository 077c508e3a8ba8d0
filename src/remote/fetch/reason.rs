//! Why a request failed, for people: without secrets, and without what a server sent around it.

use std::error::Error;

use object_store::Error as StoreError;

use crate::printable::shown;
use crate::remote::address::without_secrets;

/// The longest reason, in bytes.
const LONGEST: usize = 400;

/// The reason of a failed request.
pub(super) fn of(error: &StoreError) -> String {
    match error {
        StoreError::Precondition { .. } => "it was changed since it was opened".to_owned(),
        StoreError::NotFound { .. } => "it is gone".to_owned(),
        StoreError::PermissionDenied { .. } => with_code("access is denied", error),
        StoreError::Unauthenticated { .. } => with_code("the credentials are not accepted", error),
        error => plain(&chain(error)),
    }
}

/// The same, of what is below the client.
pub(super) fn of_any(error: &dyn Error) -> String {
    plain(&chain(error))
}

/// Whether the reason is that the server has received other bytes than were signed.
pub(super) fn is_of_a_checksum(error: &StoreError) -> bool {
    let text = chain(error);
    ["BadDigest", "SHA256Mismatch", "ChecksumMismatch", "InvalidDigest", "SignatureDoesNotMatch"]
        .iter()
        .any(|code| text.contains(code))
}

/// What the server calls it.
fn with_code(what: &str, error: &StoreError) -> String {
    let text = chain(error);
    match (between(&text, "<Code>", "</Code>"), between(&text, "<Message>", "</Message>")) {
        (Some(code), Some(message)) => plain(&format!("{what}: {code}: {message}")),
        (Some(code), None) => plain(&format!("{what}: {code}")),
        _ => what.to_owned(),
    }
}

/// The error and its sources; the last ones say what happened.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// A text without the query of each URL in it, without the body of an answer, and short.
fn plain(text: &str) -> String {
    let body = ["<?xml", "<Error", "<html", "<!DOCTYPE", "{\""];
    let end = body.iter().filter_map(|start| text.find(start)).min();
    let (text, body) = end.and_then(|end| text.split_at_checked(end)).unwrap_or((text, ""));
    let text = &*without_secrets(text);
    let mut plain = String::with_capacity(text.len());
    let mut skips = false;
    for c in text.chars() {
        skips = match c {
            '?' => true,
            c if c.is_whitespace() || matches!(c, ')' | '"' | '\'') => false,
            _ => skips,
        };
        if !skips {
            plain.push(if c.is_control() { ' ' } else { c });
        }
    }
    let said =
        ["Code", "Message"].map(|name| between(body, &format!("<{name}>"), &format!("</{name}>")));
    for said in said.into_iter().flatten() {
        plain = format!("{}: {}", plain.trim_end().trim_end_matches(':'), shown(said));
    }
    let end = plain.char_indices().map(|(at, _)| at).find(|at| *at >= LONGEST);
    plain.truncate(end.unwrap_or(plain.len()));
    plain.trim_end().trim_end_matches(':').to_owned()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_bodies_are_not_repeated() {
        let text = "error sending request for url (https://host/a?X-Amz-Signature=secret): refused";
        assert_eq!(plain(text), "error sending request for url (https://host/a): refused");
        let text = "status 400: <?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Message>It is old.</Message><Token0>secret</Token0></Error>";
        assert_eq!(plain(text), "status 400: ExpiredToken: It is old.");
        let text = "cannot reach http://user:secret@host/a: refused";
        assert_eq!(plain(text), "cannot reach http://host/a: refused");
        assert!(plain(&"a".repeat(10_000)).len() <= LONGEST);
    }

    #[test]
    fn a_refusal_has_the_servers_word_for_it() {
        let body = "403: <Error><Code>SignatureDoesNotMatch</Code><Message>The key is wrong</Message><StringToSign>x</StringToSign></Error>";
        let error = StoreError::PermissionDenied { path: "a".to_owned(), source: body.into() };
        assert_eq!(of(&error), "access is denied: SignatureDoesNotMatch: The key is wrong");
    }
}
