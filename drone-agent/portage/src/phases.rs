//! Reads emerge's output line by line and remembers where the build stands and what would explain a failure.
//!
//! Nothing is judged here: `classify` does, from the [`Clues`]. Everything remembered is bounded, because a build may
//! print gigabytes. Fed by the attempt with everything emerge prints; the lines are those of Portage 3.0.66 to 3.0.83.

use swarm_protocol::Cpv;
use swarm_protocol::report::Phase;

/// Longest part of a line that is looked at.
const MAX_LINE: usize = 4096;
/// Most lines of resolver's words kept.
const MAX_WORDS: usize = 40;

/// Why the resolver refused, told by its first telling line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// It is a matter of masks; otherwise of dependencies.
    pub masked: bool,
    /// The line.
    pub line: String,
}

/// Portage's ` * ERROR:` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorBlock {
    /// The package whose phase died.
    pub cpv: String,
    /// The phase.
    pub phase: Phase,
    /// Its reason, the line below.
    pub reason: String,
}

/// What the output said that may explain a failure. Clues of a package are forgotten when the next one begins, and
/// those of a phase when the next one begins: a test that tries a full disk and passes says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clues {
    /// The package being built or installed.
    pub current: Option<String>,
    /// Its phase.
    pub phase: Option<Phase>,
    /// `Killed signal terminated program cc1`.
    pub killed: Option<String>,
    /// `No space left on device`.
    pub no_space: Option<String>,
    /// `Couldn't download …`, or sources whose digest is wrong.
    pub fetch: Option<String>,
    /// `foo: command not found`.
    pub missing_command: Option<String>,
    /// Masked or unsatisfiable.
    pub refusal: Option<Refusal>,
    /// The resolver's words around it.
    pub words: Vec<String>,
    /// A binary package could not be had or was refused.
    pub binary: Option<String>,
    /// The first line with a compiler's, linker's or build system's error.
    pub first_error: Option<String>,
    /// Portage's own block.
    pub block: Option<ErrorBlock>,
    /// The package of `>>> Failed to emerge`.
    pub failed: Option<String>,
    /// The last line that is not empty.
    pub last: String,
}

/// The reader.
#[derive(Debug)]
pub struct Tracker {
    target: Option<Cpv>,
    phase: Phase,
    partial: Vec<u8>,
    reason_next: bool,
    clues: Clues,
}

impl Tracker {
    /// Follows a build of `target`.
    pub fn new(target: &str) -> Self {
        Self {
            target: target.parse().ok(),
            phase: Phase::Resolve,
            partial: Vec::new(),
            reason_next: false,
            clues: Clues::default(),
        }
    }

    /// Where the build of the target stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What was noticed so far.
    pub fn clues(&self) -> &Clues {
        &self.clues
    }

    /// Takes a piece of the output.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                let line = std::mem::take(&mut self.partial);
                self.line(&plain(&line));
            } else if self.partial.len() < MAX_LINE {
                self.partial.push(byte);
            }
        }
    }

    /// Takes the last line, which need not end with a line break.
    pub fn finish(&mut self) {
        let line = std::mem::take(&mut self.partial);
        self.line(&plain(&line));
    }

    fn line(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        self.clues.last = line.to_owned();
        if self.error_block(line) {
            return;
        }
        if let Some(rest) = line.strip_prefix(">>> ") {
            self.progress(rest);
        } else {
            self.symptom(line);
        }
    }

    /// The block and the line below it. It is printed again at the end; the first one counts.
    fn error_block(&mut self, line: &str) -> bool {
        if self.reason_next {
            self.reason_next = false;
            if let (Some(block), Some(reason)) = (&mut self.clues.block, line.strip_prefix(" * ")) {
                block.reason = reason.trim().to_owned();
            }
            return true;
        }
        let Some(rest) = line.strip_prefix(" * ERROR: ") else { return false };
        let Some((package, rest)) = rest.split_once(" failed (") else { return false };
        let Some(phase) = rest.strip_suffix(" phase):").or_else(|| rest.strip_suffix(" phase)")) else { return false };
        if self.clues.block.is_none() {
            let cpv = package.split("::").next().unwrap_or(package).to_owned();
            self.clues.block = Some(ErrorBlock { cpv, phase: phase_named(phase), reason: String::new() });
            self.reason_next = line.ends_with(':');
        }
        true
    }

    fn progress(&mut self, rest: &str) {
        for (begin, binary) in [("Emerging binary (", true), ("Emerging (", false)] {
            if let Some(rest) = rest.strip_prefix(begin) {
                return self.package_begins(rest, binary);
            }
        }
        if let Some(rest) = rest.strip_prefix("Failed to ") {
            let cpv = rest.split([' ', ',']).find(|word| word.contains('/')).map(str::to_owned);
            self.clues.failed = self.clues.failed.take().or(cpv);
            return;
        }
        let phase = [
            ("Downloading ", Phase::Fetch),
            ("Unpacking source", Phase::Unpack),
            ("Preparing source", Phase::Prepare),
            ("Configuring source", Phase::Configure),
            ("Compiling source", Phase::Compile),
            ("Test phase", Phase::Test),
            ("Install ", Phase::Install),
            ("Creating binpkg", Phase::Package),
            ("Building package", Phase::Package),
            ("Installing (", Phase::Merge),
        ]
        .into_iter()
        .find(|(begin, _)| rest.starts_with(begin));
        if let Some((_, phase)) = phase {
            self.phase_begins(phase);
        }
    }

    fn package_begins(&mut self, rest: &str, binary: bool) {
        let Some((_, package)) = rest.split_once(") ") else { return };
        let name = package.split_whitespace().next().unwrap_or(package);
        let cpv = name.split("::").next().unwrap_or(name).to_owned();
        let target = !binary && self.target.as_ref().is_some_and(|target| target.to_string() == cpv);
        self.phase = if target { Phase::Fetch } else { Phase::Dependencies };
        self.clues = Clues {
            current: Some(cpv),
            phase: Some(if binary { Phase::Dependencies } else { Phase::Fetch }),
            last: std::mem::take(&mut self.clues.last),
            ..Default::default()
        };
    }

    fn phase_begins(&mut self, phase: Phase) {
        if self.clues.block.is_some() {
            return;
        }
        self.clues.phase = Some(phase);
        if self.phase != Phase::Dependencies && self.phase != Phase::Resolve {
            self.phase = phase;
        }
        if phase != Phase::Fetch {
            self.clues.killed = None;
            self.clues.no_space = None;
            self.clues.missing_command = None;
            self.clues.first_error = None;
            self.clues.fetch = None;
        }
    }

    fn symptom(&mut self, line: &str) {
        let clues = &mut self.clues;
        // Portage prints the failed package's messages again at the end; what came before the block counts.
        if clues.block.is_none() {
            if is_killed(line) {
                clues.killed.get_or_insert_with(|| line.to_owned());
            }
            if line.contains("ommand not found") || (line.contains("/sh: ") && line.ends_with(": not found")) {
                clues.missing_command = Some(line.to_owned());
            }
            if clues.first_error.is_none() && is_error(line) {
                clues.first_error = Some(line.trim().to_owned());
            }
        }
        if ["No space left on device", "Disk quota exceeded", "[Errno 28]"].iter().any(|text| line.contains(text)) {
            clues.no_space.get_or_insert_with(|| line.to_owned());
        }
        let fetch = ["Couldn't download", "!!! Fetch failed", "Fetched file: ", "has fetch restriction turned on"];
        if fetch.iter().any(|text| line.contains(text)) {
            clues.fetch.get_or_insert_with(|| line.to_owned());
        }
        let binary = [
            "Tried to use non-existent binary",
            "GnuPG verification failed",
            // the same, in the words of 3.0.66
            "GPG verify failed",
            "Invalid binary package",
            // Portage's own stumble when the command that fetches an index fails
            ", in _populate_remote",
        ];
        if binary.iter().any(|text| line.contains(text)) {
            clues.binary.get_or_insert_with(|| line.to_owned());
        }
        if clues.current.is_none() {
            self.resolver_says(line);
        }
    }

    fn resolver_says(&mut self, line: &str) {
        let masked = line.contains("have been masked") || line.contains(" is masked") || line.contains("are masked");
        let unsatisfied = [
            "there are no ebuilds to satisfy",
            "there are no ebuilds built with USE flags to satisfy",
            "has unmet requirements",
            "USE changes are necessary",
            "Error: circular dependencies",
            "slot conflict",
            "is not a valid package atom",
            "blocking each other",
        ];
        let clues = &mut self.clues;
        if clues.refusal.is_none() && (masked || unsatisfied.iter().any(|text| line.contains(text))) {
            clues.refusal = Some(Refusal { masked, line: line.trim().to_owned() });
        }
        if clues.refusal.is_some() && clues.words.len() < MAX_WORDS {
            clues.words.push(line.to_owned());
        }
    }
}

/// gcc's driver says so when the kernel killed a compiler; make and the shell have words of their own.
fn is_killed(line: &str) -> bool {
    line.contains("Killed signal terminated program")
        || line.contains("internal compiler error: Killed")
        || line.contains("(signal: 9, SIGKILL")
        || line.contains("virtual memory exhausted")
        || line.contains("out of memory allocating")
        || line.contains("cc1plus: out of memory")
}

/// A line by which a person would see what broke. Summaries of make and ninja come after it and don't count.
fn is_error(line: &str) -> bool {
    let quiet = line.contains("-Werror") && !line.contains("error:");
    !quiet
        && [
            ": error:",
            ": fatal error:",
            "configure: error:",
            "CMake Error",
            "ERROR: ",
            "undefined reference to",
            "error[E",
            "cannot find -l",
            "No rule to make target",
            "Traceback (most recent call last)",
            "ld: error:",
        ]
        .iter()
        .any(|text| line.contains(text))
        || line.starts_with("error: ")
}

fn phase_named(name: &str) -> Phase {
    match name {
        "pretend" | "setup" => Phase::Setup,
        "unpack" => Phase::Unpack,
        "prepare" => Phase::Prepare,
        "configure" => Phase::Configure,
        "compile" => Phase::Compile,
        "test" => Phase::Test,
        "install" => Phase::Install,
        "package" => Phase::Package,
        "preinst" | "postinst" | "prerm" | "postrm" => Phase::Merge,
        "nofetch" => Phase::Fetch,
        _ => Phase::Unknown,
    }
}

/// The text of a line without colours.
fn plain(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if !text.contains('\u{1b}') {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.next() == Some('[') {
            // The sequence ends with its first letter.
            chars.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracked(target: &str, text: &str) -> Tracker {
        let mut tracker = Tracker::new(target);
        tracker.feed(text.as_bytes());
        tracker.finish();
        tracker
    }

    #[test]
    fn each_line_moves_the_phase() {
        let mut tracker = Tracker::new("app-misc/calc-2.0");
        let steps = [
            ("Calculating dependencies ... done!", Phase::Resolve),
            (">>> Emerging binary (1 of 2) dev-libs/libcalc-0.3-1::lab for /r/", Phase::Dependencies),
            (">>> Installing (1 of 2) dev-libs/libcalc-0.3::lab", Phase::Dependencies),
            (">>> Emerging (2 of 2) app-misc/calc-2.0::lab", Phase::Fetch),
            (">>> Unpacking source...", Phase::Unpack),
            (">>> Preparing source in /t ...", Phase::Prepare),
            (">>> Configuring source in /t ...", Phase::Configure),
            (">>> Compiling source in /t ...", Phase::Compile),
            (">>> Source compiled.", Phase::Compile),
            (">>> Test phase [not enabled]: app-misc/calc-2.0", Phase::Test),
            (">>> Install app-misc/calc-2.0 into /t/image", Phase::Install),
            (">>> Completed installing app-misc/calc-2.0 into /t/image", Phase::Install),
            (">>> Creating binpkg", Phase::Package),
            (">>> Installing (2 of 2) app-misc/calc-2.0::lab", Phase::Merge),
        ];
        for (line, phase) in steps {
            tracker.feed(line.as_bytes());
            tracker.feed(b"\n");
            assert_eq!(tracker.phase(), phase, "{line}");
        }
    }

    #[test]
    fn a_dependency_built_on_the_side_stays_in_the_dependencies() {
        let tracker = tracked("a/b-1", ">>> Emerging (1 of 2) x/y-1::lab\n>>> Compiling source in /t ...\n");
        assert_eq!(tracker.phase(), Phase::Dependencies);
        assert_eq!(tracker.clues().phase, Some(Phase::Compile));
    }

    #[test]
    fn a_full_disk_that_a_passed_test_tried_is_forgotten() {
        let text = ">>> Emerging (1 of 1) a/b-1::g\n>>> Test phase: a/b-1\nwrite: No space left on device\n>>> Install a/b-1 into /t\n";
        assert_eq!(tracked("a/b-1", text).clues().no_space, None);
    }

    #[test]
    fn colours_and_carriage_returns_do_not_hide_a_line() {
        let text =
            "\u{1b}[01m\u{1b}[Kbroken.c:1:25:\u{1b}[m\u{1b}[K \u{1b}[01;31m\u{1b}[Kerror: \u{1b}[m\u{1b}[Kno\r\n";
        assert_eq!(tracked("a/b-1", text).clues().first_error.as_deref(), Some("broken.c:1:25: error: no"));
    }

    #[test]
    fn an_endless_line_is_held_within_bounds() {
        let mut tracker = Tracker::new("a/b-1");
        for _ in 0..1000 {
            tracker.feed(&[b'x'; 1000]);
        }
        assert!(tracker.partial.len() <= MAX_LINE);
    }
}
