//! SCRAM-SHA-256 (RFC 5802, RFC 7677): both sides prove that they have the password.
//!
//! ```text
//! client   n,,n=USER,r=NONCE
//! server   r=NONCE MORE,s=SALT,i=ROUNDS
//! client   c=biws,r=NONCE MORE,p=PROOF        the proof is ClientKey ^ HMAC(H(ClientKey), all before)
//! server   v=SIGNATURE
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::credentials::Credentials;

/// The most rounds that a server may ask for: a million take a second.
const MAX_ROUNDS: u32 = 1_000_000;
/// `n,,` in base64: no channel binding.
const NO_BINDING: &str = "c=biws";

/// What is wrong with a server's message.
#[derive(Debug, Error)]
pub(super) enum ScramError {
    /// It is none.
    #[error("its message of SCRAM is none: {found:?}")]
    Form {
        /// How it begins.
        found: String,
    },
    /// It asks for more rounds than anybody needs.
    #[error("it asks for {rounds} rounds")]
    Rounds {
        /// How many.
        rounds: u32,
    },
    /// It has not proved that it has the password.
    #[error("it does not have the password itself")]
    Signature,
}

/// A client that has sent nothing yet.
#[derive(Debug)]
pub(super) struct Scram<'a> {
    credentials: &'a Credentials,
    nonce: String,
}

/// The client's second message, and what the server has to answer.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) message: String,
    signature: [u8; 32],
}

impl<'a> Scram<'a> {
    pub(super) fn new(credentials: &'a Credentials, nonce: &[u8]) -> Self {
        Self { credentials, nonce: BASE64.encode(nonce) }
    }

    /// The client's first message.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    fn bare(&self) -> String {
        let user = self.credentials.user.replace('=', "=3D").replace(',', "=2C");
        format!("n={user},r={}", self.nonce)
    }

    /// The client's second message, from the server's first.
    pub(super) fn prove(&self, server_first: &[u8]) -> Result<Proof, ScramError> {
        let text = String::from_utf8_lossy(server_first);
        let form = || ScramError::Form { found: text.chars().take(60).collect() };
        let part = |key: &str| text.split(',').find_map(|part| part.strip_prefix(key));
        let nonce = part("r=").filter(|nonce| nonce.starts_with(&self.nonce)).ok_or_else(form)?;
        let salt = part("s=").and_then(|salt| BASE64.decode(salt).ok()).ok_or_else(form)?;
        let rounds = part("i=").and_then(|rounds| rounds.parse().ok()).ok_or_else(form)?;
        if !(1..=MAX_ROUNDS).contains(&rounds) {
            return Err(ScramError::Rounds { rounds });
        }
        let mut salted = [0; 32];
        pbkdf2_hmac::<Sha256>(self.credentials.password.as_bytes(), &salt, rounds, &mut salted);
        let client_key = authenticated(&salted, b"Client Key");
        let last = format!("{NO_BINDING},r={nonce}");
        let all = format!("{},{text},{last}", self.bare());
        let by_client = authenticated(&Sha256::digest(client_key), all.as_bytes());
        let mut proof = client_key;
        proof.iter_mut().zip(by_client).for_each(|(byte, other)| *byte ^= other);
        let server_key = authenticated(&salted, b"Server Key");
        Ok(Proof {
            message: format!("{last},p={}", BASE64.encode(proof)),
            signature: authenticated(&server_key, all.as_bytes()),
        })
    }
}

impl Proof {
    /// Whether the server has the password, too, by its last message.
    pub(super) fn check(&self, server_last: &[u8]) -> Result<(), ScramError> {
        let text = String::from_utf8_lossy(server_last);
        let signature = text.split(',').find_map(|part| part.strip_prefix("v="));
        match signature.and_then(|signature| BASE64.decode(signature).ok()) {
            Some(signature) if signature == self.signature => Ok(()),
            _ => Err(ScramError::Signature),
        }
    }
}

/// HMAC-SHA-256.
fn authenticated(key: &[u8], text: &[u8]) -> [u8; 32] {
    // A key of any length will do: this never fails.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn credentials() -> Credentials {
        Credentials { user: "user".to_owned(), password: "pencil".to_owned() }
    }

    /// The example of RFC 7677.
    #[test]
    fn both_sides_prove_that_they_have_the_password() {
        let credentials = credentials();
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let scram = Scram { credentials: &credentials, nonce };
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = scram.prove(SERVER_FIRST.as_bytes()).unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        for other in [&b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="[..], b"e=other", b""] {
            assert!(matches!(proof.check(other), Err(ScramError::Signature)));
        }
    }

    #[test]
    fn a_server_that_is_none_gets_no_proof() {
        let credentials = credentials();
        let scram = Scram { credentials: &credentials, nonce: "abc".to_owned() };
        for first in [
            "",
            "r=abd,s=W22Z,i=4096",
            "r=abcd,s=W22Z",
            "r=abcd,s=W,i=4096",
            "r=abcd,s=W22Z,i=0",
            "r=abcd,s=W22Z,i=4294967295",
            "\u{0}",
        ] {
            assert!(scram.prove(first.as_bytes()).is_err(), "{first:?}");
        }
    }

    #[test]
    fn a_user_may_have_any_character() {
        let credentials = Credentials { user: "a,b=c".to_owned(), ..credentials() };
        let scram = Scram { credentials: &credentials, nonce: "abc".to_owned() };
        assert_eq!(scram.first(), "n,,n=a=2Cb=3Dc,r=abc");
    }
}
