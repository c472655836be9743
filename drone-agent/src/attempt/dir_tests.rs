use swarm_protocol::ids::{Attempt, BuildId};

use super::*;

fn job(build: u64) -> AttemptJob {
    let fence = Fence { build: BuildId(build), attempt: Attempt(1) };
    AttemptJob {
        job: BuildJob { fence, cpv: "app-misc/calc-2.0".to_owned(), ..Default::default() },
        order_number: 7,
        ..Default::default()
    }
}

#[test]
fn an_accepted_job_is_found_again_with_all_it_said() {
    let dir = tempfile::tempdir().unwrap();
    AttemptDir::create(dir.path(), &job(2)).unwrap();
    AttemptDir::create(dir.path(), &job(1)).unwrap();
    let found = AttemptDir::list(dir.path());
    assert_eq!(found.iter().map(|found| found.job().clone()).collect::<Vec<_>>(), [job(1), job(2)]);
    assert_eq!(found[0].state(), AttemptState::Waiting);
    assert_eq!(found[0].status().unwrap().phase, Phase::Queued);
}

#[test]
fn a_job_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    AttemptDir::create(dir.path(), &job(1)).unwrap();
    assert!(matches!(AttemptDir::create(dir.path(), &job(1)), Err(DirError::Exists(_))));
}

#[test]
fn an_attempt_begins_once() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = AttemptDir::create(dir.path(), &job(1)).unwrap();
    attempt.begin(&Identity::own().unwrap()).unwrap();
    assert!(attempt.begin(&Identity::own().unwrap()).is_err());
    assert!(matches!(attempt.state(), AttemptState::Running { pid, .. } if pid == std::process::id()));
}

#[test]
fn a_process_of_another_boot_has_vanished() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = AttemptDir::create(dir.path(), &job(1)).unwrap();
    attempt.begin(&Identity { boot_id: "earlier".to_owned(), ..Identity::own().unwrap() }).unwrap();
    assert_eq!(attempt.state(), AttemptState::Vanished);
}

#[test]
fn a_file_that_cannot_be_read_for_a_moment_says_nothing_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = AttemptDir::create(dir.path(), &job(1)).unwrap();
    attempt.begin(&Identity::own().unwrap()).unwrap();
    let (identity, aside) = (attempt.path().join(IDENTITY), attempt.path().join("aside"));
    fs::rename(&identity, &aside).unwrap();
    fs::create_dir(&identity).unwrap();
    assert_eq!(attempt.state(), AttemptState::Unknown);
    fs::remove_dir(&identity).unwrap();
    fs::rename(&aside, &identity).unwrap();
    AttemptDir::settle([&attempt].into_iter());
    assert!(matches!(attempt.state(), AttemptState::Running { .. }));
    // so does a result that can't be read
    fs::create_dir(attempt.path().join(EXIT)).unwrap();
    assert_eq!(attempt.state(), AttemptState::Unknown);
}

#[test]
fn a_result_outlives_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = AttemptDir::create(dir.path(), &job(1)).unwrap();
    attempt.begin(&Identity { start_time: 1, ..Identity::own().unwrap() }).unwrap();
    let result = BuildResult { duration_ms: 5, ..Default::default() };
    attempt.finish(&result).unwrap();
    assert_eq!(attempt.state(), AttemptState::Finished(result));
    assert!(attempt.read_log(0, 10).unwrap().end);
}

#[test]
fn one_damaged_directory_does_not_hide_the_others() {
    let dir = tempfile::tempdir().unwrap();
    AttemptDir::create(dir.path(), &job(1)).unwrap();
    fs::create_dir(dir.path().join("9.1")).unwrap();
    fs::write(dir.path().join("9.1/job.msgpack"), b"junk").unwrap();
    assert_eq!(AttemptDir::list(dir.path()).len(), 1);
}

#[test]
fn what_a_crash_left_half_made_is_swept_and_never_listed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(".new-1.1")).unwrap();
    fs::create_dir(dir.path().join(".gone-2.1")).unwrap();
    assert!(AttemptDir::list(dir.path()).is_empty());
    AttemptDir::sweep(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn ending_one_that_waits_leaves_word_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = AttemptDir::create(dir.path(), &job(1)).unwrap();
    attempt.end(Duration::from_secs(1)).unwrap();
    assert!(attempt.is_cancelled());
    attempt.remove().unwrap();
    assert!(AttemptDir::list(dir.path()).is_empty());
}

#[test]
fn a_hash_that_is_a_path_leads_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = AttemptDir::create(dir.path(), &job(1)).unwrap();
    let artifact = ArtifactRef { sha256: "../../ab".to_owned(), ..Default::default() };
    assert_eq!(attempt.artifact_path(&artifact), attempt.path().join("artifacts/ab.gpkg.tar"));
}
