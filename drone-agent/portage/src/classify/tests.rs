use super::*;
use crate::phases::Tracker;

const TARGET: &str = "app-misc/calc-2.0";

const BEGIN: &str = "Calculating dependencies ... done!\n>>> Emerging (1 of 1) app-misc/calc-2.0::lab\n\
                     >>> Unpacking source...\n>>> Configuring source in /t/work ...\n";

fn failure_of(log: &str, end: End, cause: Option<Cause>, oom_kills: u64, disk_free: Option<u64>) -> Option<Failure> {
    let mut tracker = Tracker::new(TARGET);
    tracker.feed(log.as_bytes());
    tracker.finish();
    classify(&Evidence { target: TARGET, end, cause, oom_kills, disk_free, clues: tracker.clues() })
}

fn plainly(log: &str) -> Failure {
    failure_of(log, End::Exit(1), None, 0, Some(1 << 40)).expect("a failure")
}

fn compile(lines: &str, phase: &str) -> String {
    format!(
        "{BEGIN}>>> Compiling source in /t/work ...\n{lines} * ERROR: app-misc/calc-2.0::lab failed ({phase} phase):\n *   emake failed\n * \n * Call stack:\n"
    )
}

#[test]
fn a_compile_error_is_told_with_the_compilers_line() {
    let log = compile(
        "gcc -O2 -c broken.c\nbroken.c: In function 'main':\nbroken.c:1:25: error: 'undeclared_thing' undeclared\n\
         make: *** [Makefile:4: broken.o] Error 1\n",
        "compile",
    );
    let failure = plainly(&log);
    assert_eq!((failure.class, failure.phase), (FailureClass::Phase, Some(Phase::Compile)));
    assert_eq!(failure.log_line.as_deref(), Some("broken.c:1:25: error: 'undeclared_thing' undeclared"));
    assert_eq!(failure.message, "app-misc/calc-2.0 failed in its compile phase: emake failed");
    assert_eq!(failure.cpv.as_deref(), Some(TARGET));
}

#[test]
fn what_a_log_says_decides_its_class() {
    let cases: &[(&str, String, FailureClass)] = &[
        (
            "configure",
            compile("checking for zlib... no\nconfigure: error: zlib is needed\n", "configure"),
            FailureClass::Phase,
        ),
        ("tests", compile("FAIL: one\n", "test"), FailureClass::Phase),
        (
            "compiler killed",
            compile("gcc: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n", "compile"),
            FailureClass::OutOfMemory,
        ),
        (
            "disk full",
            compile("/tmp/ccX.s: fatal error: error writing to /tmp/x: No space left on device\n", "compile"),
            FailureClass::DiskFull,
        ),
        (
            "missing command",
            compile("environment: line 12: meson: command not found\n", "configure"),
            FailureClass::MissingTool,
        ),
        (
            "missing command that configure could do without",
            compile("./configure: line 5: foo: command not found\na.c:1:1: error: no\n", "compile"),
            FailureClass::Phase,
        ),
        (
            "mirror",
            "Calculating dependencies ... done!\n>>> Emerging (1 of 1) app-misc/calc-2.0::lab\n>>> Downloading \
             'http://127.0.0.1:9/lab/calc.tar.xz'\nConnecting to 127.0.0.1:9... failed: Connection refused.\n\
             !!! Couldn't download 'calc.tar.xz'. Aborting.\n\n>>> Failed to emerge app-misc/calc-2.0, Log file:\n"
                .to_owned(),
            FailureClass::Fetch,
        ),
        (
            "to be fetched by hand",
            ">>> Emerging (1 of 1) app-misc/calc-2.0::lab\n\n!!! app-misc/calc-2.0 has fetch restriction turned on.\n\
             >>> Failed to emerge app-misc/calc-2.0, Log file:\n"
                .to_owned(),
            FailureClass::Fetch,
        ),
        (
            "masked",
            "!!! All ebuilds that could satisfy \"=dev-libs/libcalc-0.4\" have been masked.\n!!! One of the following \
             masked packages is required to complete your request:\n- dev-libs/libcalc-0.4::lab (masked by: ~amd64 keyword)\n"
                .to_owned(),
            FailureClass::Masked,
        ),
        (
            "not there",
            "emerge: there are no ebuilds to satisfy \"=app-misc/nope-1.0::lab\".\n\nemerge: searching for similar \
             names...\n"
                .to_owned(),
            FailureClass::Unsatisfiable,
        ),
        (
            "USE",
            "emerge: there are no ebuilds built with USE flags to satisfy \"app-misc/calc[greet]\".\n!!! One of the \
             following packages is required to complete your request:\n- app-misc/calc-2.0::lab (Change USE: +greet)\n"
                .to_owned(),
            FailureClass::Unsatisfiable,
        ),
        (
            "binary refused",
            ">>> Emerging binary (1 of 2) dev-libs/libcalc-0.3-1::lab\n!!! GnuPG verification failed\n".to_owned(),
            FailureClass::BinhostUnreachable,
        ),
        ("no reason", "Traceback (most recent call last):\nKeyError: 'x'\n".to_owned(), FailureClass::Unknown),
    ];
    for (name, log, class) in cases {
        assert_eq!(plainly(log).class, *class, "{name}: {:?}", plainly(log));
    }
}

#[test]
fn a_failing_dependency_is_charged_to_its_own_name() {
    let log = "Calculating dependencies ... done!\n>>> Emerging (1 of 2) app-misc/broken-1.0::lab\n>>> Compiling source in \
               /t ...\nb.c:1:25: error: no\n * ERROR: app-misc/broken-1.0::lab failed (compile phase):\n *   no\n";
    assert_eq!(plainly(log).cpv.as_deref(), Some("app-misc/broken-1.0"));
}

#[test]
fn the_resolvers_words_are_passed_on() {
    let log = "!!! All ebuilds that could satisfy \"a/b\" have been masked.\n- a/b-1::g (masked by: missing keyword)\n";
    let failure = plainly(log);
    assert!(failure.message.contains("missing keyword"), "{}", failure.message);
    assert_eq!(failure.phase, Some(Phase::Resolve));
}

#[test]
fn what_we_did_ourselves_comes_before_any_other_evidence() {
    let log = compile("cc: fatal error: Killed signal terminated program cc1\n", "compile");
    let cases = [
        (Cause::Cancelled, FailureClass::Cancelled),
        (Cause::Timeout(5000), FailureClass::Timeout),
        (Cause::Silence(5000), FailureClass::Silence),
    ];
    for (cause, class) in cases {
        assert_eq!(failure_of(&log, End::Exit(143), Some(cause), 1, Some(0)).unwrap().class, class);
    }
}

#[test]
fn a_timeout_says_how_long_and_where() {
    let log = format!("{BEGIN}>>> Compiling source in /t ...\n[3/9] building\n");
    let failure = failure_of(&log, End::Exit(143), Some(Cause::Timeout(90_000)), 0, None).unwrap();
    assert_eq!(failure.message, "took longer than 1m 30s during compile of app-misc/calc-2.0");
    assert_eq!(failure.log_line.as_deref(), Some("[3/9] building"));
}

#[test]
fn the_kernels_word_on_memory_outweighs_the_logs_on_disk() {
    let log = compile("x: No space left on device\n", "compile");
    assert_eq!(failure_of(&log, End::Exit(1), None, 1, None).unwrap().class, FailureClass::OutOfMemory);
}

#[test]
fn a_full_disk_is_seen_though_the_log_does_not_say_so() {
    let log = compile("ld: final link failed\n", "compile");
    assert_eq!(failure_of(&log, End::Exit(1), None, 0, Some(4096)).unwrap().class, FailureClass::DiskFull);
}

#[test]
fn a_signal_of_strangers_is_told_by_number() {
    for end in [End::Signal(9), End::Exit(143), End::Exit(130)] {
        assert_eq!(failure_of(BEGIN, end, None, 0, None).unwrap().class, FailureClass::Killed);
    }
}

#[test]
fn success_stays_success_whatever_was_printed() {
    let log = format!("{BEGIN}a.c:1: error: harmless\nNo space left on device\n");
    assert_eq!(failure_of(&log, End::Exit(0), None, 1, Some(0)), None);
}
