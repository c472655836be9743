//! Notices against a real mail server (aiosmtpd), real HTTP servers with and without TLS, and real commands: what arrives, what
//! is refused, and that a channel that has a notice does not get it twice.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use serde_json::Value;
use swarm_core::rows::{NoticeKind, NoticeRow, NoticeState};
use swarm_core::tell::Stopped;
use swarm_core::{Input, Tell};

use super::{MailSecurity, MailSettings, Notices, NotifySettings, UrlSource, WebhookSettings};
use crate::engine::Outlet;

const PASSWORD: &str = "correct horse battery staple";

fn notice(id: u64, kind: NoticeKind) -> NoticeRow {
    NoticeRow {
        id,
        key: "drone/UABC/1".to_owned(),
        kind,
        subject: "drone-1 needs a person: 4 pings in a row missed\r\nBcc: everybody@example.org".to_owned(),
        text: "What was tried:\n  restart_service by bus: timed-out\n.\nä line with one dot came before this\n"
            .to_owned(),
        at: 1_700_000_000_000,
        delivered: Default::default(),
        failures: Default::default(),
        tries: 1,
        state: NoticeState::Due { at: 0 },
    }
}

/// A certificate authority of our own, and what it vouches for: `ca.pem`, `server.pem`, `server.key` in `dir`.
fn certify(dir: &Path, name: &str) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let server = server.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    fs_err::write(dir.join("ca.pem"), ca_pem).unwrap();
    fs_err::write(dir.join("server.pem"), server.pem()).unwrap();
    fs_err::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

fn secret(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs_err::write(&path, text).unwrap();
    fs_err::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// The mail server; it ends with its standard input.
struct MailServer {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl MailServer {
    fn start(dir: &Path, security: &str, login: &[&str]) -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tools");
        let python = Command::new(tools.join("mail.sh")).output().unwrap();
        assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
        let mut child = Command::new(String::from_utf8(python.stdout).unwrap().trim())
            .arg(tools.join("mail.py"))
            .arg(dir)
            .arg(security)
            .args(login)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the mail server tells its port");
        Self { child, dir: dir.to_owned(), port }
    }

    fn mails(&self) -> Vec<Value> {
        let text = fs_err::read_to_string(self.dir.join("mails.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn settings(&self, security: MailSecurity, password: Option<PathBuf>) -> NotifySettings {
        let mail = MailSettings {
            server: "localhost".to_owned(),
            port: self.port,
            security,
            login: password.map(|path| ("swarm".to_owned(), path)),
            from: "Build Swarm <swarm@example.org>".to_owned(),
            to: vec!["ops@example.org".to_owned(), "kim@example.org".to_owned()],
        };
        NotifySettings { mail: Some(mail), ca: Some(self.dir.join("ca.pem")), ..NotifySettings::default() }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

async fn send(settings: &NotifySettings, notice: &NoticeRow) -> (Vec<String>, Vec<(String, String)>) {
    Notices::new(settings, "hive", "store1").send(notice).await
}

#[tokio::test]
async fn a_mail_arrives_by_starttls_and_by_tls_with_a_password() {
    for (word, security) in [("starttls", MailSecurity::StartTls), ("tls", MailSecurity::Tls)] {
        let dir = tempfile::tempdir().unwrap();
        certify(dir.path(), "localhost");
        let server = MailServer::start(dir.path(), word, &["swarm", PASSWORD]);
        let password = secret(dir.path(), "password", &format!("{PASSWORD}\n"));
        let settings = server.settings(security, Some(password));
        let done = send(&settings, &notice(7, NoticeKind::Alert)).await;
        assert_eq!(done, (vec!["mail".to_owned()], vec![]), "{word}");
        let mails = server.mails();
        let mail = &mails[0];
        assert_eq!((&mail["encrypted"], &mail["user"]), (&Value::from(true), &Value::from("swarm")), "{word}");
        assert_eq!(mail["from"], "swarm@example.org");
        assert_eq!(mail["to"], serde_json::json!(["ops@example.org", "kim@example.org"]));
        assert_eq!(
            mail["subject"], "[hive] alert: drone-1 needs a person: 4 pings in a row missedBcc: everybody@example.org",
            "a subject is one line"
        );
        let text = mail["text"].as_str().unwrap().replace("\r\n", "\n");
        assert!(text.contains("  restart_service by bus: timed-out\n.\nä line with one dot"), "{text}");
        assert_eq!(mail["auto_submitted"], "auto-generated");
        // a second try is seen to be the same mail, and the story goes on in the same thread
        send(&settings, &notice(7, NoticeKind::Alert)).await;
        send(&settings, &notice(8, NoticeKind::Resolved)).await;
        let mails = server.mails();
        assert_eq!(mails[0]["message_id"], mails[1]["message_id"]);
        assert_ne!(mails[1]["message_id"], mails[2]["message_id"]);
        assert_eq!(mails[0]["references"], mails[2]["references"]);
    }
}

#[tokio::test]
async fn a_mail_server_that_is_not_who_it_says_hears_neither_mail_nor_password() {
    let dir = tempfile::tempdir().unwrap();
    certify(dir.path(), "localhost");
    let server = MailServer::start(dir.path(), "starttls", &["swarm", PASSWORD]);
    let password = secret(dir.path(), "password", PASSWORD);
    let mut settings = server.settings(MailSecurity::StartTls, Some(password.clone()));
    settings.ca = None;
    let (delivered, failed) = send(&settings, &notice(1, NoticeKind::Alert)).await;
    assert!(delivered.is_empty() && failed[0].1.contains("certificate"), "an unknown authority: {failed:?}");
    // a certificate for somebody else
    let other = tempfile::tempdir().unwrap();
    certify(other.path(), "mail.example.org");
    let elsewhere = MailServer::start(other.path(), "tls", &["swarm", PASSWORD]);
    let settings = elsewhere.settings(MailSecurity::Tls, Some(password));
    let (delivered, failed) = send(&settings, &notice(1, NoticeKind::Alert)).await;
    assert!(delivered.is_empty() && failed[0].1.contains("certificate"), "another name: {failed:?}");
    assert!(server.mails().is_empty() && elsewhere.mails().is_empty());
}

#[tokio::test]
async fn a_wrong_password_and_a_password_everybody_can_read_are_told_without_it() {
    let dir = tempfile::tempdir().unwrap();
    certify(dir.path(), "localhost");
    let server = MailServer::start(dir.path(), "starttls", &["swarm", PASSWORD]);
    let wrong = secret(dir.path(), "wrong", "hunter2");
    let (_, failed) = send(&server.settings(MailSecurity::StartTls, Some(wrong)), &notice(1, NoticeKind::Test)).await;
    assert!(failed[0].1.contains("535") || failed[0].1.to_lowercase().contains("auth"), "{failed:?}");
    assert!(!format!("{failed:?}").contains("hunter2"));
    let open = secret(dir.path(), "open", PASSWORD);
    fs_err::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (_, failed) = send(&server.settings(MailSecurity::StartTls, Some(open)), &notice(1, NoticeKind::Test)).await;
    assert!(failed[0].1.contains("chmod 600") && !failed[0].1.contains(PASSWORD), "{failed:?}");
    assert!(server.mails().is_empty());
}

#[tokio::test]
async fn a_server_without_tls_is_used_only_if_the_operator_says_so() {
    let dir = tempfile::tempdir().unwrap();
    certify(dir.path(), "localhost");
    let server = MailServer::start(dir.path(), "none", &[]);
    let (delivered, failed) = send(&server.settings(MailSecurity::StartTls, None), &notice(1, NoticeKind::Test)).await;
    assert!(delivered.is_empty() && failed.len() == 1, "no fall back to plain text: {failed:?}");
    let (delivered, _) = send(&server.settings(MailSecurity::None, None), &notice(1, NoticeKind::Test)).await;
    assert_eq!(delivered, ["mail"]);
}

/// What an HTTP server was sent.
#[derive(Debug, Clone)]
struct Hook {
    headers: axum::http::HeaderMap,
    body: Value,
}

/// An HTTP server that answers with `statuses`, one after the other, and keeps what it was sent.
async fn hooks(statuses: &[u16]) -> (String, Arc<Mutex<Vec<Hook>>>) {
    let heard: Arc<Mutex<Vec<Hook>>> = Arc::default();
    let (kept, statuses) = (heard.clone(), statuses.to_vec());
    let handler = move |headers: axum::http::HeaderMap, body: axum::Json<Value>| {
        let mut kept = kept.lock().unwrap();
        let status = statuses.get(kept.len()).copied().unwrap_or(204);
        kept.push(Hook { headers, body: body.0 });
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        std::future::ready((status, [("Location", "/elsewhere")]))
    };
    let app = axum::Router::new().fallback(axum::routing::post(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook/s3cret-path", listener.local_addr().unwrap());
    drop(swarm_common::watch::spawn("hooks", async move { axum::serve(listener, app).await.unwrap() }));
    (url, heard)
}

#[tokio::test]
async fn a_webhook_gets_json_with_a_token_and_what_it_refuses_is_told_without_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let (url, heard) = hooks(&[204, 503, 302]).await;
    let url = secret(dir.path(), "url", &url);
    let token = secret(dir.path(), "token", "t0ken");
    let webhook = WebhookSettings { url: UrlSource::File(url), token: Some(token) };
    let settings = NotifySettings { webhook: Some(webhook), ..NotifySettings::default() };
    assert_eq!(send(&settings, &notice(3, NoticeKind::Alert)).await.0, ["webhook"]);
    let first = heard.lock().unwrap()[0].clone();
    assert_eq!(first.headers["authorization"], "Bearer t0ken");
    assert_eq!(first.headers["idempotency-key"], "store1-3");
    for (field, value) in [("swarm", "hive"), ("kind", "alert"), ("key", "drone/UABC/1")] {
        assert_eq!(first.body[field], value);
    }
    assert_eq!((&first.body["id"], &first.body["at"]), (&Value::from(3), &Value::from(1_700_000_000.0)));
    assert!(first.body["text"].as_str().unwrap().starts_with("[hive] alert: drone-1 needs a person"));
    for status in ["503", "302"] {
        let (delivered, failed) = send(&settings, &notice(3, NoticeKind::Alert)).await;
        assert!(delivered.is_empty() && failed[0].1.contains(status), "{failed:?}");
        assert!(!failed[0].1.contains("s3cret-path") && !failed[0].1.contains("t0ken"), "{failed:?}");
    }
    assert_eq!(heard.lock().unwrap().len(), 3, "a redirect is not followed");
}

/// A TLS server that takes one request and answers 204; gives the request.
fn tls_hook(dir: &Path) -> (u16, std::thread::JoinHandle<Option<String>>) {
    use async_nats::rustls::pki_types::pem::PemObject;
    use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use async_nats::rustls::{ServerConfig, ServerConnection, Stream, crypto::ring};
    let certificate = CertificateDer::from_pem_file(dir.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().ok()?;
        let mut connection = ServerConnection::new(Arc::new(config)).ok()?;
        let mut stream = Stream::new(&mut connection, &mut socket);
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !text.contains("\"kind\"") {
            let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
            text += &String::from_utf8_lossy(&buffer[..count]);
        }
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").ok()?;
        Some(text)
    });
    (port, server)
}

#[tokio::test]
async fn a_webhook_over_tls_must_show_a_certificate_that_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    certify(dir.path(), "localhost");
    let settings = |port: u16, ca: Option<PathBuf>| {
        let url = UrlSource::Url(format!("https://localhost:{port}/hook"));
        NotifySettings { webhook: Some(WebhookSettings { url, token: None }), ca, ..NotifySettings::default() }
    };
    let (port, server) = tls_hook(dir.path());
    let done = send(&settings(port, Some(dir.path().join("ca.pem"))), &notice(4, NoticeKind::Alert)).await;
    assert_eq!(done, (vec!["webhook".to_owned()], vec![]));
    assert!(server.join().unwrap().unwrap().starts_with("POST /hook"));
    let (port, server) = tls_hook(dir.path());
    let (delivered, failed) = send(&settings(port, None), &notice(4, NoticeKind::Alert)).await;
    assert!(delivered.is_empty() && failed[0].1.to_lowercase().contains("certificate"), "{failed:?}");
    assert_eq!(server.join().unwrap(), None, "nothing was said to it");
}

#[tokio::test]
async fn a_command_gets_the_text_and_one_that_fails_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let script = format!("cat > {0}; echo \"$SWARM_NOTICE_KIND $SWARM_NOTICE_KEY\" >> {0}", out.display());
    let words = |text: &[&str]| text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let settings = NotifySettings { command: words(&["sh", "-c", &script]), ..NotifySettings::default() };
    assert_eq!(send(&settings, &notice(5, NoticeKind::Repeat)).await.0, ["command"]);
    let text = fs_err::read_to_string(out).unwrap();
    assert!(text.starts_with("drone-1 needs a person") && text.ends_with("repeat drone/UABC/1\n"), "{text}");
    let settings = NotifySettings { command: words(&["sh", "-c", "echo no pager >&2; exit 9"]), ..settings };
    let (_, failed) = send(&settings, &notice(5, NoticeKind::Repeat)).await;
    assert!(failed[0].1.contains("exit status: 9: no pager"), "{failed:?}");
}

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Input>>);

impl Tell for Told {
    fn offer(&self, input: Input) -> bool {
        self.0.lock().unwrap().push(input);
        true
    }
    fn tell(&self, input: Input) -> BoxFuture<'_, ()> {
        self.offer(input);
        Box::pin(std::future::ready(()))
    }
    fn tell_blocking(&self, input: Input) -> Result<(), Stopped> {
        self.offer(input);
        Ok(())
    }
}

#[tokio::test]
async fn each_channel_gets_a_notice_once_and_its_outcome_is_told() {
    let (url, heard) = hooks(&[204]).await;
    let webhook = WebhookSettings { url: UrlSource::Url(url), token: None };
    let command = vec!["false".to_owned()];
    let settings = NotifySettings { webhook: Some(webhook), command, ..NotifySettings::default() };
    let notices = Notices::new(&settings, "hive", "store1");
    assert_eq!(notices.channels(), ["webhook", "command"]);
    let (queue, waiting) = Outlet::new(8, "a notice waits");
    queue.put(Box::new(notice(6, NoticeKind::Alert)));
    // the core sends it again to whoever lacks it
    let mut again = notice(6, NoticeKind::Alert);
    again.delivered.insert("webhook".to_owned());
    drop(queue);
    let told = Told::default();
    notices.run(waiting, &told).await;
    let (queue, waiting) = Outlet::new(8, "a notice waits");
    queue.put(Box::new(again));
    drop(queue);
    notices.run(waiting, &told).await;
    let told = told.0.into_inner().unwrap();
    let [Input::Notified { notice: 6, delivered, failed }, Input::Notified { delivered: second, .. }] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((delivered.as_slice(), failed[0].0.as_str()), (&["webhook".to_owned()][..], "command"));
    assert!(second.is_empty());
    assert_eq!(heard.lock().unwrap().len(), 1);
}
