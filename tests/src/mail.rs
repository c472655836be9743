//! A real mail server on loopback (aiosmtpd, `tests/tools/mail.py`), with a certificate of an authority of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tools;

/// User and password it wants.
const LOGIN: (&str, &str) = ("swarm", "mail password");

/// A mail server that wants STARTTLS and a password. It ends when it is dropped.
#[derive(Debug)]
pub struct MailServer {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl MailServer {
    /// Starts one that keeps its mails in `dir`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(dir: &Path) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        certify(dir)?;
        let password = dir.join("password");
        fs_err::write(&password, LOGIN.1)?;
        fs_err::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let mut child = Command::new(tools::tool("mail.sh", &[])?)
            .arg(tools::project().join("tests/tools/mail.py"))
            .arg(dir)
            .args(["starttls", LOGIN.0, LOGIN.1])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs_err::File::create(dir.join("log"))?.into_parts().0)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().context("its output")?).read_line(&mut line)?;
        let port = line.trim().parse().with_context(|| format!("the mail server says {line:?}"))?;
        Ok(Self { child, dir: dir.to_owned(), port })
    }

    /// The `[notify]` table of a controller that sends to it.
    pub fn table(&self) -> String {
        format!(
            "[notify]\nmail_server = \"localhost\"\nmail_port = {}\nmail_user = {:?}\nmail_password_file = {:?}\n\
             mail_from = \"swarm@example.org\"\nmail_to = [\"ops@example.org\"]\nca = {:?}\n",
            self.port,
            LOGIN.0,
            self.dir.join("password"),
            self.dir.join("ca.pem"),
        )
    }

    /// Mails so far, oldest first, whose subject holds `part`.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn mails(&self, part: &str) -> Result<Vec<Value>> {
        let text = fs_err::read_to_string(self.dir.join("mails.jsonl")).unwrap_or_default();
        let all: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(all.into_iter().filter(|mail| mail["subject"].as_str().is_some_and(|text| text.contains(part))).collect())
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// `ca.pem`, `server.pem` and `server.key` for localhost.
fn certify(dir: &Path) -> Result<()> {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs_err::write(dir.join("ca.pem"), ca.self_signed(&ca_key)?.pem())?;
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &Issuer::new(ca, ca_key))?;
    fs_err::write(dir.join("server.pem"), server.pem())?;
    fs_err::write(dir.join("server.key"), key.serialize_pem())?;
    Ok(())
}
