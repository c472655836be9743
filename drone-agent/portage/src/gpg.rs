//! gpg as a program: key rings are made and read with it, as Portage itself does when it verifies.
//!
//! Which keys are trusted is not decided here. Called by `binhost` and `own_key`.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use thiserror::Error;

/// Why gpg did not do it.
#[derive(Debug, Error)]
pub enum GpgError {
    /// It said no, or is not there.
    #[error("gpg {action} failed: {text}")]
    Failed {
        /// What it should do.
        action: &'static str,
        /// What it said.
        text: String,
    },
    /// A file of the key ring could not be written.
    #[error("write the key ring")]
    Io(#[from] io::Error),
}

/// The `fpr` line that follows each `pub` line.
pub(crate) fn primary_fingerprints(listing: &str) -> Vec<String> {
    let mut prints = Vec::new();
    let mut primary = false;
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.first() {
            Some(&"pub") => primary = true,
            Some(&"fpr") if primary => {
                prints.extend(fields.get(9).map(|print| (*print).to_owned()));
                primary = false;
            }
            _ => {}
        }
    }
    prints
}

/// Runs gpg on the key ring in `home` and returns what it printed. `action` is what a person is told that failed.
pub(crate) fn gpg(home: &Path, action: &'static str, args: &[&str], input: &[u8]) -> Result<String, GpgError> {
    let mut child = Command::new("gpg")
        .env("LC_ALL", "C")
        .arg("--homedir")
        .arg(home)
        .args(["--batch", "--no-tty", "--quiet"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| GpgError::Failed { action, text: format!("can't be started: {e}") })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A gpg that stops reading has said why on standard error.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(GpgError::Failed { action, text: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

/// gpg may have started helpers that hold the home open: they end.
pub(crate) fn quiet(home: &Path) {
    let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).output();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_each_primary_is_found_and_subkeys_are_not() {
        let listing = "tru::1:\npub:u:255:22:AA::::u:::scESC:\nfpr:::::::::FIRST:\nsub:u:255:18:BB:\nfpr:::::::::SUB:\n\
                       pub:u:255:22:CC:\nfpr:::::::::SECOND:\n";
        assert_eq!(primary_fingerprints(listing), ["FIRST", "SECOND"]);
    }
}
