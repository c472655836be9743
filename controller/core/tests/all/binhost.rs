//! What leaves the binhost and what stays, what people bring, what nobody may have.

use swarm_core::answer::{ImportAnswer, RefusalKind, UploadAnswer};
use swarm_core::request::{
    CollectRequest, DamagedRequest, ImportRequest, PinRequest, QueueRequest, ReindexRequest, UnpublishRequest,
};
use swarm_core::rows::{ArtifactRow, ArtifactState, IndexKey, IndexRow, SessionRow};
use swarm_core::{Answer, Input, Request, Settings};
use swarm_protocol::artifact::ArtifactRef;
use swarm_protocol::{ArtifactId, Secret};

use crate::farm::{Drone, Farm, MINUTE, SECOND, file_of, sha};

const HOUR: u64 = 60 * MINUTE;
const HELLO: &str = "app-misc/hello-1.0";

/// Builds a package once more and waits until it is listed.
fn rebuild(farm: &mut Farm, atom: &str, cpv: &str) {
    let packages = vec![atom.to_owned()];
    farm.request(Request::Queue(QueueRequest { packages, rebuild: true, ..QueueRequest::default() }));
    // after a restart drones are taken for away until they are heard
    for _ in 0..30 {
        if let Some(drone) = farm.holder(cpv) {
            farm.builds(&drone, cpv);
            farm.pass(2 * SECOND);
            return;
        }
        farm.pass(5 * SECOND);
    }
    panic!("nobody builds {cpv}\n{}", farm.transcript);
}

fn hello_built(times: usize) -> Farm {
    let mut farm = Farm::of(&["anna"]);
    for _ in 0..times {
        rebuild(&mut farm, "app-misc/hello", HELLO);
    }
    farm
}

/// Lets much time pass, with nobody there.
fn leap(farm: &mut Farm, length: u64) {
    farm.clock_to(farm.now.at + length);
    farm.wake();
    farm.pass(2 * SECOND);
}

fn state(farm: &Farm, id: u64) -> Option<ArtifactState> {
    farm.store.get::<ArtifactRow>(&ArtifactId(id)).map(|row| row.state)
}

fn refused(answer: Answer) -> (RefusalKind, String) {
    match answer {
        Answer::Refused(refusal) => (refusal.kind, refusal.error),
        other => panic!("{other:?} is no refusal"),
    }
}

#[test]
fn the_newest_three_of_an_identity_stay_and_a_file_goes_long_after_its_block() {
    let mut farm = hello_built(4);
    farm.pass(2 * SECOND);
    assert_eq!(farm.disk.blocks(), [2, 3, 4].map(|id| format!("{HELLO}-{id}")));
    assert_eq!(farm.disk.files.len(), 4, "clients may still hold the index that lists it");
    assert_eq!(farm.told("control").iter().filter(|text| text.starts_with("retention")).count(), 1);
    leap(&mut farm, 23 * HOUR);
    assert_eq!(farm.disk.files.len(), 4);
    leap(&mut farm, 2 * HOUR);
    assert_eq!(farm.disk.files.len(), 3);
    assert!(matches!(state(&farm, 1), Some(ArtifactState::Gone { build_id: 1, .. })));
    farm.check();
}

#[test]
fn a_restart_at_any_step_of_leaving_goes_on_from_there() {
    let mut farm = hello_built(3);
    farm.hold.index = true;
    rebuild(&mut farm, "app-misc/hello", HELLO);
    for written in std::mem::take(&mut farm.held) {
        farm.input(written);
    }
    // retired, and no generation without it is written yet
    assert!(matches!(state(&farm, 1), Some(ArtifactState::Retired { delete_at: None, .. })));
    farm.hold.index = false;
    farm.restart();
    farm.pass(2 * SECOND);
    assert!(matches!(state(&farm, 1), Some(ArtifactState::Retired { delete_at: Some(_), .. })));
    assert_eq!(farm.disk.blocks().len(), 3);
    farm.hold.removal = true;
    farm.restart();
    leap(&mut farm, 25 * HOUR);
    assert!(matches!(state(&farm, 1), Some(ArtifactState::Retired { .. })), "not said to be gone");
    farm.restart();
    farm.hold.removal = false;
    farm.pass(2 * MINUTE);
    assert!(matches!(state(&farm, 1), Some(ArtifactState::Gone { .. })));
    leap(&mut farm, 31 * 24 * HOUR);
    assert_eq!(state(&farm, 1), None, "the row goes in the end");
    farm.check();
}

#[test]
fn another_number_is_applied_at_start() {
    let mut farm = hello_built(3);
    farm.settings = Settings { keep_builds: 1, ..farm.settings.clone() };
    farm.restart();
    farm.pass(3 * SECOND);
    assert_eq!(farm.disk.blocks(), [format!("{HELLO}-3")]);
    farm.settings = Settings { keep_builds: 0, ..farm.settings.clone() };
    farm.restart();
    farm.pass(3 * SECOND);
    assert_eq!(farm.disk.blocks(), [format!("{HELLO}-3")], "one always stays");
}

#[test]
fn pinned_packages_stay_until_they_are_unpinned() {
    let mut farm = hello_built(3);
    let pin = |pinned| Request::Pin(PinRequest { package: "#1".to_owned(), pinned });
    assert!(matches!(farm.binhost(pin(true)), Answer::Done(done) if done.touched == 1));
    assert!(matches!(farm.binhost(pin(true)), Answer::Done(done) if done.touched == 0));
    rebuild(&mut farm, "app-misc/hello", HELLO);
    farm.restart();
    farm.pass(2 * SECOND);
    assert_eq!(farm.disk.blocks().len(), 4);
    let remove = Request::Unpublish(UnpublishRequest { package: "1".to_owned(), force: true });
    assert_eq!(refused(farm.binhost(remove)).0, RefusalKind::Conflict);
    farm.binhost(pin(false));
    farm.pass(2 * SECOND);
    assert_eq!(farm.disk.blocks(), [2, 3, 4].map(|id| format!("{HELLO}-{id}")));
}

#[test]
fn collecting_can_be_tried_and_says_what_waits() {
    let mut farm = hello_built(3);
    farm.settings = Settings { keep_builds: 2, ..farm.settings.clone() };
    farm.hold.index = true;
    farm.restart();
    // the start has collected already; what it took waits
    let Answer::Collected(found) = farm.binhost(Request::Collect(CollectRequest { dry_run: true })) else { panic!() };
    assert_eq!((found.count, found.waiting, found.waiting_bytes), (0, 1, 1100));
    farm.release();
    let pin = Request::Pin(PinRequest { package: HELLO.to_owned(), pinned: true });
    farm.binhost(pin);
    rebuild(&mut farm, "app-misc/hello", HELLO);
    farm.core_settings(|settings| settings.keep_builds = 1);
    let Answer::Collected(found) = farm.binhost(Request::Collect(CollectRequest { dry_run: true })) else { panic!() };
    assert_eq!(found.count, 0, "pinned ones are not counted as waste");
}

#[test]
fn what_an_open_session_builds_on_is_neither_collected_nor_removed() {
    let mut farm = Farm::of(&["anna"]);
    rebuild(&mut farm, "dev-libs/libcalc", "dev-libs/libcalc-3");
    farm.core_settings(|settings| settings.keep_builds = 1);
    farm.queue(&["app-misc/calc"]);
    assert!(farm.store.all::<SessionRow>().last().unwrap().builds_on.contains(&ArtifactId(1)));
    // a second build of the library within the session, and a third
    let drone = farm.holder("app-misc/calc-3.1").unwrap();
    let import = ask("dev-libs/libcalc-3", "2");
    import_whole(&mut farm, &import);
    assert_eq!(farm.disk.blocks().len(), 2, "{:?}", farm.disk.blocks());
    let remove = |force| Request::Unpublish(UnpublishRequest { package: "dev-libs/libcalc-3".to_owned(), force });
    let (kind, error) = refused(farm.binhost(remove(false)));
    assert_eq!(
        (kind, error.as_str()),
        (RefusalKind::Conflict, "an open session builds on dev-libs/libcalc-3 (BUILD_ID 1)")
    );
    farm.builds(&drone, "app-misc/calc-3.1");
    farm.pass(3 * SECOND);
    assert_eq!(farm.disk.blocks(), ["app-misc/calc-3.1-1", "dev-libs/libcalc-3-2"], "the session is over");
    assert!(matches!(farm.binhost(remove(false)), Answer::Done(done) if done.touched == 1));
    farm.check();
}

#[test]
fn a_removed_package_is_named_exactly_and_its_build_id_is_not_given_again() {
    let mut farm = hello_built(2);
    let remove = |package: &str| Request::Unpublish(UnpublishRequest { package: package.to_owned(), force: false });
    assert_eq!(refused(farm.binhost(remove("app-misc/hello"))).0, RefusalKind::Invalid);
    assert_eq!(refused(farm.binhost(remove("app-misc/hello-9"))).0, RefusalKind::NotFound);
    assert_eq!(refused(farm.binhost(remove("#77"))).0, RefusalKind::NotFound);
    assert!(matches!(farm.binhost(remove("=app-misc/hello-1.0")), Answer::Done(done) if done.touched == 2));
    leap(&mut farm, 26 * HOUR);
    assert!(farm.disk.files.is_empty() && farm.disk.blocks().is_empty());
    farm.restart();
    rebuild(&mut farm, "app-misc/hello", HELLO);
    assert_eq!(farm.disk.blocks(), [format!("{HELLO}-3")]);
    farm.check();
}

#[test]
fn a_package_removed_before_it_was_listed_never_is() {
    let mut farm = Farm::of(&["anna"]);
    farm.hold.index = true;
    import_whole(&mut farm, &ask(HELLO, "1"));
    let remove = Request::Unpublish(UnpublishRequest { package: "#1".to_owned(), force: false });
    assert!(matches!(farm.binhost(remove), Answer::Done(done) if done.touched == 1));
    farm.release();
    farm.pass(5 * SECOND);
    assert!(farm.disk.blocks().is_empty(), "{:?}", farm.disk.blocks());
    assert!(matches!(state(&farm, 1), Some(ArtifactState::Retired { delete_at: Some(_), .. })));
    farm.check();
}

#[test]
fn a_file_that_cannot_be_removed_is_tried_again() {
    let mut farm = hello_built(4);
    farm.hold.removal = true;
    leap(&mut farm, 25 * HOUR);
    let held = farm.held.len();
    farm.input(Input::RemovalFailed { artifact: ArtifactId(1), reason: "read-only".to_owned() });
    farm.pass(2 * MINUTE);
    assert!(farm.held.len() > held);
    assert!(farm.told("warn").iter().any(|text| text.contains("read-only")));
    farm.release();
    assert!(matches!(state(&farm, 1), Some(ArtifactState::Gone { .. })));
}

#[test]
fn restricted_packages_are_signed_where_the_public_does_not_come() {
    let mut farm = Farm::of(&["anna"]);
    farm.restricted.insert(HELLO.to_owned());
    farm.transcript.clear();
    rebuild(&mut farm, "app-misc/hello", HELLO);
    rebuild(&mut farm, "app-misc/other", "app-misc/other-2");
    assert!(farm.transcript.contains("hello-1.0-1.gpkg.tar, restricted\n"), "{}", farm.transcript);
    assert!(farm.transcript.contains("other-2-1.gpkg.tar\n"), "{}", farm.transcript);
    let rows = farm.artifacts();
    assert_eq!((rows[0].is_restricted(), rows[1].is_restricted()), (true, false));
    farm.binhost(Request::Unpublish(UnpublishRequest { package: "#1".to_owned(), force: true }));
    assert!(farm.artifacts()[0].is_restricted(), "its file is looked for where it is");
}

#[test]
fn a_damaged_package_leaves_the_index_and_is_built_again_as_it_was() {
    let mut farm = Farm::of(&["anna"]);
    let fancy = "app-misc/fancy-1";
    farm.request(Request::Queue(QueueRequest {
        packages: vec!["app-misc/fancy".to_owned()],
        package_use: vec!["app-misc/fancy ssl".to_owned()],
        ..QueueRequest::default()
    }));
    farm.iuse = "+greet ssl".to_owned();
    farm.builds("anna", fancy);
    farm.pass(2 * SECOND);
    let damaged = |rebuild| {
        Request::Damaged(DamagedRequest { artifact: ArtifactId(1), reason: "is not there".to_owned(), rebuild })
    };
    assert!(matches!(farm.binhost(damaged(true)), Answer::Done(done) if done.touched == 1));
    farm.pass(2 * SECOND);
    assert!(farm.disk.blocks().is_empty());
    let again = farm.entry(fancy);
    assert_eq!(again.package_use, ["=app-misc/fancy-1 -greet ssl"]);
    assert!(again.rebuild && again.use_flags == ["ssl"]);
    assert!(matches!(farm.binhost(damaged(true)), Answer::Done(done) if done.touched == 0), "it is known");
    farm.builds("anna", fancy);
    farm.pass(2 * SECOND);
    assert_eq!(farm.disk.blocks(), ["app-misc/fancy-1-2"]);
    farm.check();
}

#[test]
fn an_index_can_be_asked_for_anew() {
    let mut farm = hello_built(1);
    let index = farm.artifacts()[0].index.clone();
    let before = farm.store.all::<IndexRow>()[0].timestamp;
    farm.binhost(Request::Reindex(ReindexRequest { index: index.clone() }));
    farm.pass(2 * SECOND);
    assert!(farm.store.all::<IndexRow>()[0].timestamp > before);
    let other = IndexKey { arch: "riscv".to_owned(), ..index };
    assert_eq!(refused(farm.binhost(Request::Reindex(ReindexRequest { index: other }))).0, RefusalKind::NotFound);
}

// what people bring

fn artifact(cpv: &str, built: &str) -> ArtifactRef {
    ArtifactRef {
        cpv: cpv.to_owned(),
        slot: "0".to_owned(),
        repository: "demo".to_owned(),
        sha256: sha(&format!("{cpv} of {built}")),
        size: 1000,
        use_flags: Vec::new(),
    }
}

fn ask(cpv: &str, built: &str) -> ImportRequest {
    ImportRequest {
        file: file_of(&artifact(cpv, built)),
        build_time: built.to_owned(),
        profile: "default".to_owned(),
        token: Secret("t".to_owned()),
        ..ImportRequest::default()
    }
}

fn import(farm: &mut Farm, ask: &ImportRequest) -> ImportAnswer {
    match farm.binhost(Request::Import(ask.clone())) {
        Answer::Import(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// Announces, uploads, waits until it is listed.
fn import_whole(farm: &mut Farm, ask: &ImportRequest) -> ArtifactId {
    let ImportAnswer::Wanted { artifact, .. } = import(farm, ask) else { panic!("not wanted") };
    let reply = farm.next_reply();
    farm.input(Input::Uploaded { artifact, file: ask.file.clone(), reply });
    assert!(matches!(farm.answers[&reply.0], Answer::Upload(UploadAnswer::Taken {})), "{:?}", farm.answers[&reply.0]);
    farm.pass(2 * SECOND);
    artifact
}

#[test]
fn a_brought_package_is_published_once_and_found_in_every_disguise() {
    let mut farm = hello_built(1);
    let other = ask("app-misc/other-2", "7");
    let id = import_whole(&mut farm, &other);
    assert_eq!(farm.disk.blocks(), [format!("{HELLO}-1"), "app-misc/other-2-1".to_owned()]);
    let row: ArtifactRow = farm.store.get(&id).unwrap();
    assert_eq!(row.imported.unwrap().by, "kim");
    let ArtifactState::Published { sha_out, .. } = row.state else { panic!() };
    farm.restart();
    assert!(matches!(import(&mut farm, &other), ImportAnswer::Present { artifact, .. } if artifact == id), "the file");
    let mut signed = other.clone();
    signed.file.sha256 = sha_out;
    assert!(matches!(import(&mut farm, &signed), ImportAnswer::Present { .. }), "our own copy of it");
    let mut copy = other.clone();
    copy.file.sha256 = sha("signed by somebody else");
    copy.build_time = "1700000000".to_owned();
    assert!(matches!(import(&mut farm, &copy), ImportAnswer::Present { .. }), "the same build");
    let mut flags = copy.clone();
    flags.file.use_flags = vec!["x".to_owned()];
    assert!(matches!(import(&mut farm, &flags), ImportAnswer::Wanted { .. }), "another identity");
    farm.check();
}

#[test]
fn a_brought_package_completes_what_waits_for_it() {
    let mut farm = Farm::of(&["anna"]);
    farm.drones.get_mut("anna").unwrap().vitals.disk_build_free = 0;
    farm.beat("anna");
    farm.queue(&["app-misc/hello"]);
    farm.pass(MINUTE);
    assert_eq!(farm.state(HELLO), "needed");
    import_whole(&mut farm, &ask(HELLO, "7"));
    assert_eq!(farm.state(HELLO), "received", "{}", farm.transcript);
    assert!(farm.told("complete").iter().any(|text| text.contains("was brought by kim")));
}

#[test]
fn the_index_is_known_said_or_asked_for() {
    let mut farm = Farm::of(&["anna"]);
    assert!(matches!(import(&mut farm, &ask(HELLO, "1")), ImportAnswer::Wanted { index, .. } if index.arch == "amd64"));
    let server = ImportRequest { profile: "server".to_owned(), ..ask(HELLO, "1") };
    let (kind, error) = refused(farm.binhost(Request::Import(server.clone())));
    assert_eq!(kind, RefusalKind::Invalid);
    assert!(error.contains("no index of the build profile server"), "{error}");
    let header = [("ARCH".to_owned(), "amd64".to_owned())].into();
    let said = ImportRequest { arch: Some("amd64".to_owned()), header, ..server.clone() };
    let dry = ImportRequest { dry_run: true, ..said.clone() };
    assert!(matches!(import(&mut farm, &dry), ImportAnswer::WouldTake { .. }));
    assert_eq!(farm.store.all::<IndexRow>().len(), 1, "trying changes nothing");
    import_whole(&mut farm, &said);
    let rows = farm.store.all::<IndexRow>();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows.iter().find(|row| row.index.profile == "server").unwrap().header["ARCH"], "amd64");
    let arm = ImportRequest { arch: Some("arm64".to_owned()), ..said.clone() };
    import_whole(&mut farm, &arm);
    let again = ImportRequest { arch: None, file: file_of(&artifact("app-misc/other-2", "3")), ..said };
    let (_, error) = refused(farm.binhost(Request::Import(again)));
    assert!(error.contains("amd64, arm64"), "{error}");
    farm.check();
}

#[test]
fn nonsense_is_refused_and_leaves_nothing() {
    let mut farm = Farm::of(&["anna"]);
    let good = ask(HELLO, "1");
    let outside = ImportRequest { profile: "../x".to_owned(), arch: Some("amd64".to_owned()), ..good.clone() };
    let mut folder = good.clone();
    folder.file.chost = "..".to_owned();
    folder.arch = Some("amd64".to_owned());
    let mut nameless = good.clone();
    nameless.file.cpv = "hello".to_owned();
    let mut forged = ImportRequest { profile: "new".to_owned(), arch: Some("amd64".to_owned()), ..good.clone() };
    forged.header.insert("USE".to_owned(), "a\nURI: http://evil".to_owned());
    let mut redirected = forged.clone();
    redirected.header = [("URI".to_owned(), "http://evil".to_owned())].into();
    let mut large = forged.clone();
    large.header = [("USE".to_owned(), "x".repeat(1 << 20))].into();
    for bad in [outside, folder, nameless, forged, redirected, large] {
        assert_eq!(refused(farm.binhost(Request::Import(bad.clone()))).0, RefusalKind::Invalid, "{bad:?}");
    }
    assert!(farm.artifacts().is_empty() && farm.store.all::<IndexRow>().len() == 1);
}

#[test]
fn an_announced_import_that_never_comes_is_forgotten_and_their_number_is_bounded() {
    let mut farm = Farm::of(&["anna"]);
    let ImportAnswer::Wanted { artifact: first, .. } = import(&mut farm, &ask(HELLO, "0")) else { panic!() };
    let again = import(&mut farm, &ask(HELLO, "0"));
    assert!(
        matches!(again, ImportAnswer::Wanted { artifact, .. } if artifact == first),
        "announced twice, counted once"
    );
    for n in 1..1_000 {
        import(&mut farm, &ask(HELLO, &n.to_string()));
    }
    let full = Request::Import(ask(HELLO, "1000"));
    assert_eq!(refused(farm.binhost(full.clone())).0, RefusalKind::Full);
    leap(&mut farm, 61 * MINUTE);
    assert!(farm.artifacts().is_empty());
    assert!(matches!(farm.binhost(full), Answer::Import(ImportAnswer::Wanted { .. })));
    farm.restart();
    assert!(farm.artifacts().is_empty(), "a restart forgets tickets, and with them what was announced");
}

#[test]
fn an_import_that_is_another_file_than_announced_is_not_taken() {
    let mut farm = Farm::of(&["anna"]);
    let good = ask(HELLO, "1");
    let ImportAnswer::Wanted { artifact, .. } = import(&mut farm, &good) else { panic!() };
    let reply = farm.next_reply();
    let file = swarm_core::files::UploadedFile { slot: "9".to_owned(), ..good.file };
    farm.input(Input::Uploaded { artifact, file, reply });
    assert!(
        matches!(&farm.answers[&reply.0], Answer::Upload(UploadAnswer::Refused { reason }) if reason.contains("slot"))
    );
    assert_eq!(state(&farm, artifact.0), Some(ArtifactState::Ticketed {}));
}

#[test]
fn an_import_that_cannot_be_signed_is_let_go() {
    let mut farm = Farm::of(&["anna"]);
    farm.hold.sign = true;
    let good = ask(HELLO, "1");
    let ImportAnswer::Wanted { artifact, .. } = import(&mut farm, &good) else { panic!() };
    let reply = farm.next_reply();
    farm.input(Input::Uploaded { artifact, file: good.file.clone(), reply });
    for _ in 0..3 {
        farm.input(Input::SigningFailed { artifact, reason: "no key".to_owned() });
    }
    assert!(farm.artifacts().is_empty());
    assert!(matches!(import(&mut farm, &good), ImportAnswer::Wanted { .. }), "it may be tried again");
}

#[test]
fn secrets_are_never_printed() {
    let ask = ask(HELLO, "1");
    let ask = ImportRequest { token: Secret("hunter2".to_owned()), ..ask };
    let settings = Settings { binhost_secret: Secret("hunter2".to_owned()), ..Settings::default() };
    assert!(!format!("{ask:?} {settings:?}").contains("hunter2"));
}

#[test]
fn drones_are_told_of_the_complete_index_and_its_secret() {
    let settings = Settings { binhost_secret: Secret("hunter2".to_owned()), ..Settings::default() };
    let mut farm = Farm::with(settings);
    farm.join(Drone::new("anna"));
    let welcome = farm.hello("anna", swarm_protocol::report::Role::Worker).unwrap();
    assert!(!format!("{welcome:?}").contains("hunter2"));
    let Answer::Hello(swarm_protocol::report::HelloAnswer::Welcome { binhost, .. }) = welcome else { panic!() };
    assert_eq!(binhost.index_url(), "http://127.0.0.1:8100/binhost-private/amd64/default/x86_64-pc-linux-gnu");
    assert_eq!(binhost.url, "http://127.0.0.1:8100/binhost/amd64/default/x86_64-pc-linux-gnu");
    assert_eq!(binhost.secret.0, "hunter2");
}
