//! The screen as a person sees it, for whole sizes of terminals; what keys do; what news change. Answers are the façade's own,
//! over a store and a view of the tests.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use swarm_api::{Drone, Events, Status, WhyAnswer, WhyDrone, WhyEntry, WhyPoints, WhyReason, WhyWaiting};
use swarm_core::rows::Fact;
use swarm_core::view::{Counts, Presence, TaskView};
use swarm_core::{Roster, View};
use swarm_protocol::machine::{Vitals, WorkerState};
use swarm_protocol::report::Phase;
use swarm_protocol::{BuildId, DroneId};

use super::draw::draw;
use super::log::Which;
use super::screen::{Answered, News, Over, Panel, Screen, Setting, Wish};
use super::theme::Theme;
use crate::http::tests::world::{self, NOW, Store, World};

/// The moment everything is looked at, Unix seconds.
const AT: f64 = (NOW / 1000) as f64 + 60.0;
const PLAIN: Theme = Theme { color: false };
const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn screen(size: (u16, u16)) -> Screen {
    let address = "http://127.0.0.1:8100".to_owned();
    Screen::new(Setting { address, zone: TimeZone::UTC, may_act: true, is_up: false }, size)
}

fn drawn(screen: &Screen, theme: Theme) -> Buffer {
    let area = Rect::new(0, 0, screen.size.0, screen.size.1);
    let mut buffer = Buffer::empty(area);
    draw(screen, area, &mut buffer, AT, theme);
    buffer
}

fn picture(screen: &Screen) -> String {
    let buffer = drawn(screen, PLAIN);
    let row = |y| (0..screen.size.0).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..screen.size.1).map(row).collect::<Vec<_>>().join("\n")
}

/// What the façade answers over this store and view.
async fn answers(store: Store, view: View) -> Answered {
    let world = World::new(store, view);
    let of = async |path: &str| world.get(path).await.body;
    let status: Status = serde_json::from_slice(&of("/api/v1/status").await).unwrap();
    let mut drones: Vec<Drone> = serde_json::from_slice(&of("/api/v1/nodes?all=true").await).unwrap();
    let events: Events = serde_json::from_slice(&of("/api/v1/events?limit=200").await).unwrap();
    // the façade reckons with the clock of this machine, the picture with AT
    for drone in &mut drones {
        for progress in &mut drone.build_progress {
            progress.elapsed_s = AT - progress.building_since.unwrap();
        }
    }
    Answered { status, drones, events: events.events }
}

fn heard(size: (u16, u16), answered: Answered) -> Screen {
    let mut screen = screen(size);
    screen.hear(News::Answered(Box::new(answered)), AT);
    screen
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn press(screen: &mut Screen, keys: &str) -> Vec<Wish> {
    keys.chars().flat_map(|c| screen.press(key(KeyCode::Char(c)), AT)).collect()
}

fn task(build: u64, package: &str, phase: Phase, since: u64, estimate: Option<u64>) -> TaskView {
    TaskView {
        fence: world::fence(build, 1),
        package: package.to_owned(),
        phase,
        assigned_at: NOW,
        order: build,
        building_since: (since > 0).then_some(NOW + since * 1000),
        begun_at: (since > 0).then_some(NOW + since * 1000),
        sweep: false,
        estimated_ms: estimate.map(|seconds| seconds * 1000),
        log_bytes: 0,
    }
}

/// Six drones in every state, packages in the line, some blocked.
fn busy() -> (Store, View) {
    let (mut store, mut view) = world::busy();
    let drone = |id: &str, name: &str, load: f64, tasks: Vec<TaskView>| {
        let mut drone = Arc::unwrap_or_clone(world::drone(id, name, Presence::Online));
        drone.vitals = Vitals {
            load_1m: load,
            cpu_percent: load * 12.0,
            mem_percent: 41.0,
            disk_build_free: 310 << 30,
            disk_build_total: 500 << 30,
            ..Vitals::default()
        };
        drone.tasks = tasks;
        (DroneId::from(id), drone)
    };
    let mut drones = vec![
        drone("U1", "anvil", 7.91, vec![task(21, "=sys-devel/gcc-14.2.1_p20241221", Phase::Compile, 10, Some(200))]),
        drone("U2", "bellows", 3.2, vec![task(22, "=dev-qt/qtbase-6.8.1-r3", Phase::Configure, 50, None)]),
        drone(
            "U3",
            "crucible",
            18.44,
            vec![
                task(23, "=app-misc/waggle-1.1", Phase::Upload, 5, Some(40)),
                task(24, "=dev-libs/libcomb-1.2", Phase::Queued, 0, None),
            ],
        ),
        drone("U4", "damper", 0.02, Vec::new()),
        drone("U5", "ember", 0.1, Vec::new()),
        drone("U6", "flue", 0.3, Vec::new()),
    ];
    let fact =
        |by: &str, reason: &str| Some(Fact { by: by.to_owned(), reason: reason.to_owned(), since: NOW, until: None });
    Arc::make_mut(&mut drones[3].1.row).paused = fact("ada", "paused by a person");
    Arc::make_mut(&mut drones[4].1.row).grounded = fact("swarm", "8 failures in a row that are its fault");
    drones[5].1.presence = Presence::Offline;
    drones[5].1.worker = WorkerState::Unknown;
    view.drones = Roster::default();
    for (id, drone) in drones {
        view.drones.insert(id, Arc::new(drone));
    }
    store.builds = vec![
        world::build(30, "app-misc/hivemap-0.9", world::needed()),
        world::build(31, "app-misc/nectar-2.1", world::needed()),
        world::build(32, "media-libs/libjpeg-turbo-3.0.4", world::needed()),
        world::build(33, "app-misc/apiary-1", world::needed()),
        world::build(
            40,
            "app-misc/wasp-1.0",
            world::blocked(
                "bellows: app-misc/wasp-1.0 failed in its compile phase: wasp.c:4:16: error: implicit declaration of function 'sting'",
            ),
        ),
        world::build(41, "net-libs/webkit-gtk-2.46.5", world::blocked("anvil: killed: out of memory")),
    ];
    store.builds[3].after = vec![BuildId(40)];
    view.next = vec![BuildId(31), BuildId(30), BuildId(32)];
    view.counts = Counts { needed: 4, delegated: 4, received: 112, blocked: 2, failed: 0, waiting: 1 };
    view.sessions = [(swarm_protocol::SessionId(1), view.counts)].into();
    store.events = (1..=40).map(|seq| {
        let (kind, message) = match seq % 4 {
            0 => ("assign", "=dev-qt/qtbase-6.8.1-r3 goes to bellows"),
            1 => ("complete", "=app-misc/hen-1.0 built on crucible in 14.3 s"),
            2 => ("fail", "=app-misc/wasp-1.0 on bellows: app-misc/wasp-1.0 failed in its compile phase: the compiler failed (package)"),
            _ => ("control", "ada paused damper"),
        };
        let build = (kind != "control").then_some(21);
        swarm_core::rows::EventRow { message: message.to_owned(), build, ..world::event(seq, kind) }
    }).collect();
    view.last_event = 40;
    (store, view)
}

fn log_of(screen: &mut Screen, which: Which, lines: usize) {
    let text: String =
        (1..=lines).map(|n| format!("\x1b[32m>>>\x1b[0m line {n} of the log of a compiler that says much\n")).collect();
    screen.hear(News::Log { which, attempt: 1, offset: 0, bytes: text.into_bytes(), ended: false }, AT);
}

/// Why a package waits, with as much as there can be to say of it: two entries, six drones.
fn reasons() -> WhyAnswer {
    let reason = |rule: &str, text: &str| WhyReason { rule: rule.to_owned(), text: text.to_owned() };
    let points = |rule: &str, points| WhyPoints { rule: rule.to_owned(), points, description: String::new() };
    let drone = |name: &str, against: Vec<WhyReason>| WhyDrone {
        id: format!("U{name}"),
        name: name.to_owned(),
        eligible: against.is_empty(),
        score: if against.is_empty() { 370 } else { 0 },
        points: if against.is_empty() { vec![points("speed", 400), points("load", -30)] } else { Vec::new() },
        against,
        estimated_s: (name == "anvil").then_some(5_400.0),
    };
    let entry = WhyEntry {
        build: 41,
        session_id: 1,
        package: "=net-libs/webkit-gtk-2.46.5".to_owned(),
        use_flags: vec!["gstreamer".to_owned(), "-wayland".to_owned()],
        status: "blocked".to_owned(),
        summary: "it failed on 2 drones with the same failure, and nobody has unblocked it since".to_owned(),
        reasons: vec![
            "anvil: killed: out of memory".to_owned(),
            "bellows: net-libs/webkit-gtk-2.46.5 failed in its compile phase: Source/WTF/wtf/Assertions.cpp:35:10: fatal error: 'mutex' file not found".to_owned(),
        ],
        priority: 10,
        usual_s: Some(7_200.0),
        path_s: 9_000.0,
        waiting_for: vec![WhyWaiting { build: 24, package: "=dev-libs/libcomb-1.2".to_owned(), status: "delegated".to_owned() }],
        drones: vec![
            drone("anvil", Vec::new()),
            drone("bellows", vec![reason("failed_here", "it failed here before, and another drone has not tried it")]),
            drone("crucible", vec![reason("memory", "16.0 GiB are wanted, it has 7.8 GiB")]),
            drone("damper", vec![reason("paused", "paused by ada")]),
            drone("ember", vec![reason("grounded", "8 failures in a row"), reason("tags", "it has no tag big")]),
            drone("flue", vec![reason("online", "offline since 12:00:00")]),
        ],
    };
    let needed = WhyEntry {
        build: 42,
        package: "=net-libs/webkit-gtk-2.48.0".to_owned(),
        status: "needed".to_owned(),
        summary: "it waits for a package that is not in the binhost yet".to_owned(),
        reasons: Vec::new(),
        ..entry.clone()
    };
    WhyAnswer { package: "net-libs/webkit-gtk".to_owned(), entries: vec![entry, needed] }
}

#[tokio::test]
async fn pictures() {
    for size in SIZES {
        let name = |what: &str| format!("{what}_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name("asking"), picture(&screen(size)));
        let empty = answers(Store::default(), View::default()).await;
        insta::assert_snapshot!(name("empty"), picture(&heard(size, empty)));

        let (store, view) = busy();
        let mut busy = heard(size, answers(store, view).await);
        // the second column shows a log where there is room
        log_of(&mut busy, Which { build: 21, attempt: 1 }, 40);
        insta::assert_snapshot!(name("busy"), picture(&busy));

        busy.focus = Panel::Troubles;
        busy.rows[1] = 1;
        insta::assert_snapshot!(name("blocked"), picture(&busy));

        busy.hear(News::Silent("the controller can't be reached (http://127.0.0.1:8100)".to_owned()), AT - 42.0);
        busy.heard_at = Some(AT - 43.0);
        insta::assert_snapshot!(name("unreachable"), picture(&busy));

        busy.silent = None;
        busy.focus = Panel::Drones;
        press(&mut busy, "l");
        log_of(&mut busy, Which { build: 21, attempt: 1 }, 200);
        insta::assert_snapshot!(name("log"), picture(&busy));
    }
}

#[tokio::test]
async fn pictures_of_what_lies_over_the_panels() {
    let (store, view) = busy();
    let answered = answers(store, view).await;
    let size = SIZES[0];
    let mut help = heard(size, answered.clone());
    press(&mut help, "?");
    insta::assert_snapshot!("help", picture(&help));

    let mut warned = heard(size, answered.clone());
    warned.status.as_mut().unwrap().warnings =
        vec!["packages are not taken: the binhost's disk has 3 % free, 5 % are kept".to_owned()];
    insta::assert_snapshot!("warned", picture(&warned));

    let mut pause = heard(size, answered.clone());
    press(&mut pause, "p");
    insta::assert_snapshot!("confirm", picture(&pause));

    let mut ending = heard(size, answered.clone());
    ending.setting.is_up = true;
    press(&mut ending, "q");
    insta::assert_snapshot!("ending", picture(&ending));

    let mut event = heard(size, answered.clone());
    event.focus = Panel::Events;
    event.rows[2] = 2;
    event.press(key(KeyCode::Enter), AT);
    insta::assert_snapshot!("event", picture(&event));

    let mut why = heard(size, answered);
    why.focus = Panel::Troubles;
    assert_eq!(why.press(key(KeyCode::Enter), AT), [Wish::Why("=net-libs/webkit-gtk-2.46.5".to_owned())]);
    insta::assert_snapshot!("why_asking", picture(&why));
    why.hear(News::Why(Ok(reasons())), AT);
    assert!(matches!(&why.over, Some(Over::Why { answer: Some(Ok(_)), .. })));
    insta::assert_snapshot!("why_80x24", picture(&why));
    // what is below is reached, and no further than the end
    press(&mut why, &"j".repeat(50));
    insta::assert_snapshot!("why_end_80x24", picture(&why));
    let end = picture(&why);
    press(&mut why, "Gk");
    assert_ne!(picture(&why), end, "one key leads back from it");
    why.size = SIZES[2];
    press(&mut why, "g");
    insta::assert_snapshot!("why_200x60", picture(&why));
    why.size = size;
    why.hear(News::Why(Err("the controller can't be reached".to_owned())), AT);
    insta::assert_snapshot!("why_unknown", picture(&why));
    insta::assert_snapshot!("small", picture(&Screen { size: (30, 8), ..screen(size) }));
}

#[tokio::test]
async fn without_colours_no_cell_has_one_and_with_them_states_do() {
    let (store, view) = busy();
    let mut busy = heard(SIZES[2], answers(store, view).await);
    busy.hear(News::Silent("gone".to_owned()), AT);
    for over in [None, Some(Over::Help(None)), Some(Over::Ending)] {
        busy.over = over;
        let plain = drawn(&busy, PLAIN);
        assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert!(drawn(&busy, Theme { color: true }).content.iter().any(|cell| cell.fg != Color::Reset));
    }
}

#[tokio::test]
async fn every_size_can_be_drawn() {
    let (store, view) = busy();
    let answered = answers(store, view).await;
    for width in [1, 20, 39, 40, 57, 79, 109, 110, 159, 160, 300] {
        for height in [1, 9, 10, 13, 23, 39, 40, 100] {
            let mut screen = heard((width, height), answered.clone());
            for keys in ["", "?", "q", "l", "p"] {
                press(&mut screen, keys);
                drawn(&screen, PLAIN);
                screen.over = None;
            }
        }
    }
}

#[tokio::test]
async fn what_is_chosen_stays_chosen_when_the_fleet_changes() {
    let (store, view) = busy();
    let mut answered = answers(store, view).await;
    let mut screen = heard(SIZES[0], answered.clone());
    assert_eq!(screen.drone.as_deref(), Some("anvil"));
    press(&mut screen, "jj");
    assert_eq!(screen.drone.as_deref(), Some("crucible"));
    answered.drones.remove(0);
    answered.events.clear();
    screen.hear(News::Answered(Box::new(answered.clone())), AT);
    assert_eq!(screen.drone.as_deref(), Some("crucible"));
    answered.drones.retain(|drone| drone.name != "crucible");
    screen.hear(News::Answered(Box::new(answered)), AT);
    assert_eq!(screen.drone.as_deref(), Some("bellows"), "the first, when it is gone");
    press(&mut screen, "G");
    assert_eq!(screen.drone.as_deref(), Some("flue"));
    screen.press(key(KeyCode::Tab), AT);
    press(&mut screen, "jjjjjjj");
    assert_eq!((screen.focus, screen.rows[0]), (Panel::Next, 2), "no further than the last row");
    screen.press(key(KeyCode::BackTab), AT);
    assert_eq!(screen.focus, Panel::Drones);
}

#[tokio::test]
async fn what_changes_the_swarm_is_asked_first_and_needs_the_key() {
    let (store, view) = busy();
    let answered = answers(store, view).await;
    let mut screen = heard(SIZES[0], answered.clone());
    let control = |wish: &Wish| match wish {
        Wish::Control(body) => (body.action.clone(), body.package.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(press(&mut screen, "p"), [], "not before a yes");
    assert_eq!(control(&press(&mut screen, "y")[0]), ("pause".to_owned(), None));
    assert_eq!(press(&mut screen, "py"), [], "one thing after the other");
    screen.hear(News::Done(Ok("the swarm is paused".to_owned())), AT);
    assert_eq!(screen.notice(AT), Some("the swarm is paused"));
    assert_eq!((press(&mut screen, "pn"), screen.notice(AT)), (vec![], Some("nothing was changed")));

    let mut paused = answered.clone();
    paused.status.paused = true;
    paused.events.clear();
    screen.hear(News::Answered(Box::new(paused)), AT);
    assert_eq!(control(&press(&mut screen, "py")[0]).0, "resume");
    screen.hear(News::Done(Err("busy".to_owned())), AT);
    assert_eq!(screen.notice(AT), Some("not done: busy"));

    assert_eq!(press(&mut screen, "dy"), [Wish::Drone { name: "anvil".to_owned(), action: "pause" }]);
    screen.waits = false;
    press(&mut screen, "jjj");
    assert_eq!(press(&mut screen, "dy"), [Wish::Drone { name: "damper".to_owned(), action: "resume" }]);
    screen.waits = false;
    assert_eq!(press(&mut screen, "uy"), [], "a package must be chosen");
    screen.focus = Panel::Troubles;
    let unblock = press(&mut screen, "uy");
    assert_eq!(control(&unblock[0]), ("unblock".to_owned(), Some("=net-libs/webkit-gtk-2.46.5".to_owned())));

    let mut reader = heard(SIZES[0], answered);
    reader.setting.may_act = false;
    assert_eq!(press(&mut reader, "pydyuy"), []);
    assert!(reader.notice(AT).is_some() && reader.over.is_none());
    let mut cut = screen;
    cut.waits = false;
    cut.hear(News::Silent("gone".to_owned()), AT);
    assert_eq!(press(&mut cut, "py"), [], "nor without a controller");
}

#[test]
fn leaving_is_asked_only_where_it_could_end_the_swarm() {
    let mut monitor = screen(SIZES[0]);
    assert_eq!(press(&mut monitor, "q"), [Wish::Leave]);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(monitor.press(interrupt, AT), [Wish::Leave]);

    let mut up = screen(SIZES[0]);
    up.setting.is_up = true;
    assert_eq!(press(&mut up, "q"), []);
    assert_eq!(up.press(key(KeyCode::Esc), AT), []);
    assert_eq!(up.over, None, "it stays");
    assert_eq!(press(&mut up, "qe"), [Wish::End]);
    assert_eq!(press(&mut up, "ql"), [Wish::Leave]);
    assert_eq!(up.press(interrupt, AT), [Wish::End]);
}

#[tokio::test]
async fn a_log_is_opened_followed_scrolled_and_left() {
    let (store, view) = busy();
    let mut screen = heard(SIZES[0], answers(store, view).await);
    let which = Which { build: 21, attempt: 1 };
    assert_eq!(press(&mut screen, "l"), [Wish::Watch(Some(which))]);
    log_of(&mut screen, which, 100);
    assert!(picture(&screen).contains("line 100 ") && picture(&screen).contains("FOLLOWING"));
    press(&mut screen, "k");
    assert!(!picture(&screen).contains("line 100 "), "scrolled back");
    log_of(&mut screen, which, 1);
    assert!(picture(&screen).contains("2 lines below"), "what is read stays where it is");
    press(&mut screen, "g");
    assert!(picture(&screen).contains("line 1 "));
    press(&mut screen, "f");
    assert!(picture(&screen).contains("FOLLOWING"));
    log_of(&mut screen, Which { build: 9, attempt: 9 }, 3);
    assert!(picture(&screen).contains("FOLLOWING"), "another log's news are not ours");
    press(&mut screen, "?q");
    assert!(matches!(screen.over, Some(Over::Log(_))), "help leads back to the log");
    assert_eq!(press(&mut screen, "q"), [Wish::Watch(None)], "nobody reads it any more");
    press(&mut screen, "jjj");
    assert_eq!(press(&mut screen, "l"), []);
    assert_eq!(screen.notice(AT), Some("this drone builds nothing now"));
}

#[tokio::test]
async fn with_room_the_log_of_the_chosen_drone_is_read_by_itself() {
    let (store, view) = busy();
    let answered = answers(store, view).await;
    let mut screen = screen(SIZES[2]);
    let wishes = screen.hear(News::Answered(Box::new(answered)), AT);
    assert_eq!(wishes, [Wish::Watch(Some(Which { build: 21, attempt: 1 }))]);
    assert_eq!(press(&mut screen, "j"), [Wish::Watch(Some(Which { build: 22, attempt: 1 }))]);
    assert_eq!(press(&mut screen, "jj"), [Wish::Watch(Some(Which { build: 23, attempt: 1 }))]);
    assert!(screen.watched.is_some(), "the end of a log stays while the chosen drone builds nothing");
    assert_eq!(screen.resize(SIZES[1]), [Wish::Watch(None)]);
}

#[tokio::test]
async fn events_of_another_store_replace_those_known() {
    let (store, view) = busy();
    let answered = answers(store, view).await;
    let mut screen = heard(SIZES[0], answered.clone());
    assert_eq!(screen.events.len(), 40);
    let anew = Answered { events: answered.events[..3].to_vec(), ..answered };
    screen.hear(News::Answered(Box::new(anew)), AT);
    assert_eq!(screen.events.len(), 3);
}

#[tokio::test]
async fn a_controller_that_comes_back_is_told() {
    let (store, view) = busy();
    let mut answered = answers(store, view).await;
    let mut screen = heard(SIZES[0], answered.clone());
    screen.hear(News::Silent("gone".to_owned()), AT - 30.0);
    screen.hear(News::Silent("still gone".to_owned()), AT - 20.0);
    assert_eq!(screen.silent, Some((AT - 30.0, "still gone".to_owned())), "since the first silence");
    answered.events.clear();
    screen.hear(News::Answered(Box::new(answered)), AT);
    assert_eq!((screen.silent.is_none(), screen.notice(AT)), (true, Some("the controller is back")));
    assert_eq!(screen.notice(AT + 60.0), None, "a message goes by itself");
}
