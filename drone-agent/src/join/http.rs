//! The two questions a joining drone asks over HTTP. Nothing secret is in them, and no answer is trusted unchecked.

use std::thread::sleep;
use std::time::Duration;

use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use swarm_protocol::invite::{EnrolAnswer, EnrolRequest, Invitation, fingerprint};
use ureq::http::StatusCode;
use ureq::{Agent, Body};

use super::JoinError;

/// Largest answer taken.
const MAX_ANSWER: u64 = 64 * 1024;
/// How often a controller that is busy, or a bus that is being told, is asked again.
const TRIES: u32 = 6;
const BETWEEN: Duration = Duration::from_secs(3);

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    hint: Option<String>,
}

fn agent(facade: &str) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("drone-agent/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(Duration::from_secs(40)));
    if facade.contains("//127.") || facade.contains("//localhost") || facade.contains("//[::1]") {
        config = config.proxy(None);
    }
    config.build().new_agent()
}

/// The bus's authority as PEM, checked against the token; `None` where the token names none.
pub(super) fn authority(invitation: &Invitation) -> Result<Option<String>, JoinError> {
    let Some(expected) = &invitation.authority else { return Ok(None) };
    let facade = &invitation.facade;
    let mut answer = agent(facade)
        .get(format!("{facade}/api/v1/bus/authority"))
        .call()
        .map_err(|error| unreachable(facade, &error))?;
    let text = body(&mut answer).map_err(|error| unreachable(facade, &error))?;
    if !answer.status().is_success() {
        return Err(refused(answer.status(), &text));
    }
    let wrong = |found: String| JoinError::WrongAuthority { facade: facade.clone(), found, expected: expected.clone() };
    let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| wrong("of no certificate".to_owned()))?;
    let found = fingerprint(&der);
    if found != *expected {
        return Err(wrong(found));
    }
    // written anew from what was checked: whatever else stood in the answer would be trusted as well
    Ok(Some(pem(&der)))
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Asks to be let in, again while the controller is busy or the bus has not taken it yet: a repeat changes nothing.
pub(super) fn enrol(invitation: &Invitation, request: &EnrolRequest) -> Result<EnrolAnswer, JoinError> {
    let facade = &invitation.facade;
    let agent = agent(facade);
    let mut left = TRIES;
    loop {
        left -= 1;
        let failed = match agent.post(format!("{facade}/api/v1/enrol")).send_json(request) {
            Ok(mut answer) => {
                let text = body(&mut answer).map_err(|error| unreachable(facade, &error))?;
                if answer.status().is_success() {
                    return serde_json::from_str(&text).map_err(|_| JoinError::Refused {
                        status: answer.status().as_u16(),
                        error: "the controller's answer is not understood".to_owned(),
                        hint: Some("bring agent and controller to one release".to_owned()),
                    });
                }
                let refusal = refused(answer.status(), &text);
                if answer.status() != StatusCode::SERVICE_UNAVAILABLE && answer.status() != StatusCode::GATEWAY_TIMEOUT
                {
                    return Err(refusal);
                }
                refusal
            }
            Err(error) => unreachable(facade, &error),
        };
        if left == 0 {
            return Err(failed);
        }
        eprintln!("{failed}; trying again");
        sleep(BETWEEN);
    }
}

fn body(answer: &mut ureq::http::Response<Body>) -> Result<String, ureq::Error> {
    answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string()
}

fn unreachable(facade: &str, error: &ureq::Error) -> JoinError {
    JoinError::Unreachable { facade: facade.to_owned(), why: error.to_string() }
}

/// What a stranger's server says is shown, but only so much of it, and nothing that moves the terminal.
fn refused(status: StatusCode, text: &str) -> JoinError {
    let clean = |text: String| text.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
    let said: Refusal = serde_json::from_str(text).unwrap_or_default();
    let error = if said.error.is_empty() { format!("the controller answered {status}") } else { clean(said.error) };
    JoinError::Refused { status: status.as_u16(), error, hint: said.hint.map(clean) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_written_as_others_write_it() {
        let text = pem(&[7; 100]);
        assert!(text.lines().all(|line| line.len() <= 64), "{text}");
        assert_eq!(CertificateDer::from_pem_slice(text.as_bytes()).unwrap().as_ref(), [7; 100]);
    }

    /// A façade that answers one question with this.
    fn serve(body: String) -> (String, std::thread::JoinHandle<()>) {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let _some = stream.read(&mut head).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                .unwrap();
        });
        (url, served)
    }

    fn invitation(facade: String, authority: &[u8]) -> Invitation {
        Invitation {
            id: "1".to_owned(),
            name: "forge".to_owned(),
            facade,
            bus: String::new(),
            prefix: String::new(),
            authority: Some(fingerprint(authority)),
            profile: None,
            secret: String::new(),
            expires: 0,
        }
    }

    #[test]
    fn only_the_certificate_that_was_checked_is_trusted_whatever_else_the_answer_holds() {
        let (url, served) = serve(format!("{}{}", pem(b"the right one"), pem(b"one that was slipped in")));
        let trusted = authority(&invitation(url, b"the right one")).unwrap().unwrap();
        served.join().unwrap();
        assert_eq!(trusted, pem(b"the right one"));
        for answer in [pem(b"one that was slipped in") + &pem(b"the right one"), "no certificate".to_owned()] {
            let (url, served) = serve(answer);
            let refused = authority(&invitation(url, b"the right one")).unwrap_err();
            served.join().unwrap();
            assert!(matches!(refused, JoinError::WrongAuthority { .. }), "{refused}");
        }
    }

    #[test]
    fn a_refusal_is_shown_clean_and_short() {
        let text = serde_json::json!({"error": format!("no\u{1b}[2J{}", "x".repeat(999)), "hint": "ask"}).to_string();
        let JoinError::Refused { status, error, hint } = refused(StatusCode::GONE, &text) else { panic!() };
        assert!(error.starts_with("no[2Jxxx") && error.len() == 300, "{error}");
        assert_eq!((status, hint.as_deref()), (410, Some("ask")));
        let JoinError::Refused { error, .. } = refused(StatusCode::BAD_GATEWAY, "<html>") else { panic!() };
        assert_eq!(error, "the controller answered 502 Bad Gateway");
    }
}
