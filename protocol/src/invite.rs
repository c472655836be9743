//! How a drone on another machine comes in: the one-time token a person carries there, and what is said over HTTP with it.
//!
//! The token holds everything a drone must be able to trust: where the bus and the façade are, the fingerprint of the bus's
//! authority, and a secret, which is the seed of a key pair made for this one invitation. The secret itself never travels:
//! the drone signs its own public key with it ([`statement`]), so who listens in or stands between learns nothing that lets
//! another key in. The controller keeps the public half only.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// What every token begins with: the version of its contents.
const MARK: &str = "swarm1.";
/// Bytes of SHA-256 behind the contents: what was cut off or mistyped is told from what was never good.
const CHECK: usize = 4;
/// No token is longer.
const MAX_TOKEN: usize = 4096;

/// The contents of a token. Printing it leaves the secret out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The invitation's number in the controller; no secret.
    pub id: String,
    /// The name the drone will have.
    pub name: String,
    /// Base address of the façade, without a slash at its end.
    pub facade: String,
    /// Address of the bus, `tls://host:port`; several parted by commas.
    pub bus: String,
    /// Prefix of the bus's subjects.
    pub prefix: String,
    /// SHA-256 of the bus authority's certificate, hex; `None` where the bus is not secured by one of its own.
    #[serde(default)]
    pub authority: Option<String>,
    /// The build profile the drone is to serve.
    #[serde(default)]
    pub profile: Option<String>,
    /// Seed of the key pair of this invitation (`SU…`).
    pub secret: String,
    /// When it ends, Unix milliseconds.
    pub expires: u64,
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why text is no token.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// Something else altogether.
    #[error("this is no invitation: a token begins with {MARK}")]
    NotAToken,
    /// Of a later version.
    #[error("this invitation was made by a newer controller: bring the agent to its version")]
    Newer,
    /// Parts are missing or were changed on the way.
    #[error("the invitation is damaged: copy the whole token, in one line")]
    Damaged,
}

impl Invitation {
    /// The token.
    pub fn token(&self) -> String {
        // maps of strings and a number always encode
        let mut bytes = rmp_serde::to_vec_named(self).unwrap_or_default();
        let check = Sha256::digest(&bytes);
        bytes.extend_from_slice(&check[..CHECK]);
        format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token; white space around it and line breaks in it are what terminals and mails make of long lines.
    pub fn read(text: &str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Damaged);
        }
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let Some(inner) = text.strip_prefix(MARK) else {
            let newer = text
                .strip_prefix("swarm")
                .and_then(|rest| rest.split_once('.'))
                .is_some_and(|(version, _)| !version.is_empty() && version.chars().all(|c| c.is_ascii_digit()));
            return Err(if newer { TokenError::Newer } else { TokenError::NotAToken });
        };
        let bytes = URL_SAFE_NO_PAD.decode(inner).map_err(|_| TokenError::Damaged)?;
        let (body, check) = bytes.split_at_checked(bytes.len().saturating_sub(CHECK)).ok_or(TokenError::Damaged)?;
        if check != &Sha256::digest(body)[..CHECK] {
            return Err(TokenError::Damaged);
        }
        rmp_serde::from_slice(body).map_err(|_| TokenError::Damaged)
    }
}

/// What is signed to come in, once with the invitation's key and once with the drone's own: for this invitation, this key.
pub fn statement(invitation: &str, key: &str) -> Vec<u8> {
    format!("build-swarm enrolment 1\n{invitation}\n{key}\n").into_bytes()
}

/// SHA-256 of a certificate (DER), hex.
pub fn fingerprint(certificate: &[u8]) -> String {
    hex::encode(Sha256::digest(certificate))
}

/// A signature as text.
pub fn signature_text(signature: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(signature)
}

/// A signature from text; `None` if it is none.
pub fn signature(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 64)
}

/// `POST /api/v1/enrol`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// Number of the invitation.
    pub invitation: String,
    /// The drone's public key (`U…`).
    pub key: String,
    /// [`statement`] signed with the invitation's key.
    pub proof: String,
    /// [`statement`] signed with the drone's key: it is its own.
    pub possession: String,
}

/// Its answer. Nothing in it is trusted by the drone: it came over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnrolAnswer {
    /// `enrolled`.
    pub status: String,
    /// The drone's name.
    pub name: String,
    /// Version of the controller.
    #[serde(default)]
    pub controller_version: String,
    /// The bus lets the drone in now; `false`: its operator has to add it.
    #[serde(default)]
    pub admitted: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            id: "5f3a".to_owned(),
            name: "forge".to_owned(),
            facade: "http://192.0.2.7:8100".to_owned(),
            bus: "tls://192.0.2.7:4222".to_owned(),
            prefix: "swarm.v1".to_owned(),
            authority: Some("ab".repeat(32)),
            profile: None,
            secret: "SUAOTHESEED".to_owned(),
            expires: 1_800_000_000_000,
        }
    }

    #[test]
    fn a_token_comes_back_whole_also_from_broken_lines() {
        let token = invitation().token();
        assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)), "{token}");
        let (first, second) = token.split_at(70);
        assert_eq!(Invitation::read(&format!("  {first}\r\n   {second}\n")), Ok(invitation()));
    }

    #[test]
    fn what_is_no_token_is_told_from_one_that_was_damaged() {
        let token = invitation().token();
        assert_eq!(Invitation::read(""), Err(TokenError::NotAToken));
        assert_eq!(Invitation::read("hello.world"), Err(TokenError::NotAToken));
        assert_eq!(Invitation::read(&token.replacen("swarm1.", "swarm2.", 1)), Err(TokenError::Newer));
        for cut in [7, 8, 12, token.len() - 1] {
            assert_eq!(Invitation::read(&token[..cut]), Err(TokenError::Damaged), "{cut}");
        }
        assert_eq!(Invitation::read(&format!("swarm1.{}", "A".repeat(5000))), Err(TokenError::Damaged));
    }

    #[test]
    fn the_secret_is_never_printed() {
        assert!(!format!("{:?}", invitation()).contains("SUAO"));
    }

    #[test]
    fn a_statement_is_for_one_invitation_and_one_key() {
        assert_eq!(statement("a", "U1"), b"build-swarm enrolment 1\na\nU1\n");
        assert_eq!(signature(&signature_text(&[7; 64])), Some(vec![7; 64]));
        assert_eq!(signature("short"), None);
    }

    proptest! {
        #[test]
        fn a_changed_character_is_noticed(at in 7usize..200, to in "[A-Za-z0-9_-]") {
            let token = invitation().token();
            let mut changed: Vec<char> = token.chars().collect();
            let at = 7 + at % (changed.len() - 8);
            changed[at] = to.chars().next().unwrap();
            let changed: String = changed.into_iter().collect();
            let read = Invitation::read(&changed);
            prop_assert!(changed == token || read == Err(TokenError::Damaged));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,300}") {
            let _ = Invitation::read(&text);
            let _ = Invitation::read(&format!("swarm1.{text}"));
        }
    }
}
