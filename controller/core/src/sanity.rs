//! What a drone says is kept within bounds before anything is remembered of it: lengths, counts, characters, numbers that are
//! none. The bus enforces who speaks; this is about what is said. A drone that means well never reaches these bounds.

use swarm_protocol::machine::Vitals;
use swarm_protocol::report::{BuildNews, Failure, Heartbeat, Hello};

/// Characters of a short text: versions, identities, profiles.
const SHORT: usize = 200;
/// Characters of a sentence for people: messages, reasons, lines of a log.
const SENTENCE: usize = 2_000;
/// Tags of a drone, and characters of one.
const TAGS: (usize, usize) = (32, 64);
/// Lines of evidence for a machine type.
const EVIDENCE: usize = 16;
/// Header fields of an index, and bytes of all of them; Portage writes some 60 with 20 KB.
const HEADER: (usize, usize) = (256, 128 * 1024);
/// Attempts in one message. A drone has 64 slots at most, and as many finished ones as its spool keeps.
const ATTEMPTS: usize = 256;
const FINISHED: usize = 4_096;
/// Packages of one result: what one emerge makes, with all it installs from source.
const ARTIFACTS: usize = 2_000;

/// A text without control characters, at most `max` characters: it ends on people's terminals.
pub(crate) fn clean(text: &str, max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect()
}

/// Whether a text needs no cleaning.
fn is_clean(text: &str, max: usize) -> bool {
    text.chars().count() <= max && !text.chars().any(char::is_control)
}

/// The same for a text as configuration files have it, in several lines.
fn is_text(text: &str, max: usize) -> bool {
    text.chars().count() <= max && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Cuts what is only shown, refuses what is kept and compared.
pub(super) fn hello(hello: &mut Hello) -> Result<(), String> {
    let (machine, portage) = (&mut hello.machine, &hello.portage);
    let kept = [
        ("instance", &hello.instance.0),
        ("version of the agent", &hello.agent_version),
        ("version of Portage", &portage.version),
        ("Portage profile", &portage.profile),
        ("CFLAGS", &portage.cflags),
        ("hash of what is installed", &portage.installed_hash),
        ("identity of the tree", &portage.tree.id),
    ];
    if let Some((what, text)) = kept.into_iter().find(|(_, text)| !is_text(text, SENTENCE)) {
        return Err(format!(
            "its {what} can't be used: {} characters, or some that can't be printed",
            text.chars().count()
        ));
    }
    if hello.tags.len() > TAGS.0 || hello.tags.iter().any(|tag| !is_clean(tag, TAGS.1)) {
        return Err(format!("its tags can't be used: at most {}, each of at most {} characters", TAGS.0, TAGS.1));
    }
    let header = &portage.index_header;
    let bytes: usize = header.iter().map(|(key, value)| key.len() + value.len()).sum();
    let is_key = |key: &String| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_value = |text: &String| is_text(text, HEADER.1);
    if header.len() > HEADER.0 || bytes > HEADER.1 || !header.iter().all(|(k, v)| is_key(k) && is_value(v)) {
        return Err(format!("its index header can't be used: {} fields with {bytes} bytes", header.len()));
    }
    hello.running.truncate(ATTEMPTS);
    hello.finished.truncate(FINISHED);
    machine.evidence.truncate(EVIDENCE);
    machine.evidence.iter_mut().for_each(|line| *line = clean(line, SHORT));
    machine.addresses.retain(|address| address.parse::<std::net::IpAddr>().is_ok());
    Ok(())
}

pub(super) fn heartbeat(beat: &mut Heartbeat) {
    beat.attempts.truncate(ATTEMPTS);
    beat.finished.truncate(FINISHED);
    beat.attempts.iter_mut().for_each(|status| status.cpv = clean(&status.cpv, SHORT));
    if !is_clean(&beat.tree.id, SENTENCE) {
        beat.tree.id.clear();
    }
    vitals(&mut beat.vitals);
}

/// A reading that is no number, or no possible one, is as good as none.
fn vitals(vitals: &mut Vitals) {
    let readings = [
        &mut vitals.load_1m,
        &mut vitals.cpu_percent,
        &mut vitals.mem_percent,
        &mut vitals.psi_cpu,
        &mut vitals.psi_memory,
        &mut vitals.psi_io,
    ];
    for reading in readings {
        if !(0.0..=1e6).contains(reading) {
            *reading = 0.0;
        }
    }
}

pub(crate) fn news(news: &mut BuildNews) {
    match news {
        BuildNews::Dropped { reason } => *reason = clean(reason, SENTENCE),
        BuildNews::Refused { failure } => clean_failure(failure),
        BuildNews::Finished { result } => {
            result.artifacts.truncate(ARTIFACTS);
            result.failure.iter_mut().for_each(clean_failure);
        }
        BuildNews::Taken {} | BuildNews::Started { .. } | BuildNews::Unknown => {}
    }
}

fn clean_failure(failure: &mut Failure) {
    failure.message = clean(&failure.message, SENTENCE);
    failure.log_line = failure.log_line.take().map(|line| clean(&line, SENTENCE));
    failure.cpv = failure.cpv.take().filter(|cpv| is_clean(cpv, SHORT));
}

#[cfg(test)]
mod tests {
    use swarm_protocol::report::{AttemptStatus, BuildResult};

    use super::*;

    #[test]
    fn a_drone_that_means_well_is_not_touched() {
        let mut said = Hello { tags: vec!["ssd".to_owned()], ..Hello::default() };
        said.machine.addresses = vec!["192.0.2.7".to_owned(), "2001:db8::1".to_owned()];
        said.portage.index_header.insert("USE".to_owned(), "x ".repeat(10_000));
        said.portage.cflags = "-O2 \n\t-pipe".to_owned();
        let before = said.clone();
        assert_eq!(hello(&mut said), Ok(()));
        assert_eq!(said, before);
    }

    #[test]
    fn what_is_kept_and_cannot_be_is_refused_with_its_name() {
        let refused = |change: &dyn Fn(&mut Hello)| {
            let mut said = Hello::default();
            change(&mut said);
            hello(&mut said).unwrap_err()
        };
        assert!(refused(&|said| said.agent_version = "x".repeat(3_000)).contains("version of the agent"));
        assert!(refused(&|said| said.portage.cflags = "-O2\u{1b}[2J".to_owned()).contains("CFLAGS"));
        assert!(refused(&|said| said.tags = vec!["a".to_owned(); 33]).contains("tags"));
        assert!(refused(&|said| said.tags = vec!["a\nb".to_owned()]).contains("tags"));
        let many = |said: &mut Hello| {
            (0..300).for_each(|n| drop(said.portage.index_header.insert(n.to_string(), String::new())));
        };
        assert!(refused(&many).contains("300 fields"));
    }

    #[test]
    fn what_is_only_shown_is_cut_and_cleaned() {
        let mut said = Hello::default();
        said.machine.evidence = vec!["a\u{7}".to_owned(); 99];
        said.machine.addresses = vec!["<script>".to_owned(), "192.0.2.7".to_owned()];
        hello(&mut said).unwrap();
        assert_eq!((said.machine.evidence.len(), said.machine.evidence[0].as_str()), (16, "a "));
        assert_eq!(said.machine.addresses, ["192.0.2.7"]);
    }

    #[test]
    fn a_heartbeat_has_a_bounded_number_of_attempts_and_numbers_that_are_some() {
        let mut beat = Heartbeat { attempts: vec![AttemptStatus::default(); 5_000], ..Heartbeat::default() };
        beat.vitals = Vitals { load_1m: f64::NAN, cpu_percent: -1.0, mem_percent: 42.5, psi_io: 1e300, ..beat.vitals };
        heartbeat(&mut beat);
        assert_eq!(beat.attempts.len(), ATTEMPTS);
        let Vitals { load_1m, cpu_percent, mem_percent, psi_io, .. } = beat.vitals;
        assert_eq!((load_1m, cpu_percent, mem_percent, psi_io), (0.0, 0.0, 42.5, 0.0));
    }

    #[test]
    fn words_about_a_failure_are_one_short_line() {
        let failure = Failure {
            message: format!("\u{1b}[31m{}", "x".repeat(9_999)),
            log_line: Some("a\r\nb".to_owned()),
            cpv: Some("a".repeat(999)),
            ..Failure::default()
        };
        let mut said = BuildNews::Finished { result: BuildResult { failure: Some(failure), ..BuildResult::default() } };
        news(&mut said);
        let BuildNews::Finished { result } = said else { unreachable!("it was finished") };
        let failure = result.failure.unwrap();
        assert_eq!((failure.message.len(), failure.log_line.as_deref(), failure.cpv), (SENTENCE, Some("a  b"), None));
        assert!(!failure.message.contains('\u{1b}'));
    }
}
