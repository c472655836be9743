//! Settings that change while the swarm runs: kept, felt at once, told, and the head of the line readers see.

use swarm_core::request::{ConfigChange, Control};
use swarm_core::rows::ConfigRow;
use swarm_core::{Answer, Request, Settings};
use swarm_protocol::BuildId;
use swarm_protocol::report::Phase;

use crate::farm::*;

fn change(value: Option<&str>, settings: Settings) -> Request {
    Request::Configure(ConfigChange {
        key: "rules.offline_after".to_owned(),
        value: value.map(str::to_owned),
        before: "15s".to_owned(),
        after: value.unwrap_or("15s").to_owned(),
        settings: Box::new(settings),
    })
}

fn touched(answer: Answer) -> u64 {
    let Answer::Done(done) = answer else { panic!("{answer:?}") };
    done.touched
}

#[test]
fn a_changed_setting_is_kept_felt_at_once_and_told() {
    let mut farm = Farm::of(&["ada"]);
    let patient = Settings { offline_after: 40 * SECOND, ..farm.settings.clone() };
    assert_eq!(touched(farm.request(change(Some("40s"), patient.clone()))), 1);
    let row: ConfigRow = farm.store.get(&"rules.offline_after".to_owned()).expect("it is on disk");
    assert_eq!((row.value.as_str(), row.by.as_str(), row.at), ("40s", "kim", farm.now.wall));
    assert_eq!(farm.told("audit"), ["kim changed rules.offline_after from 15s to 40s"]);
    let event = farm.events.iter().rev().find(|event| event.kind == "audit").unwrap();
    assert_eq!((event.details["before"].as_str(), event.details["after"].as_str()), ("15s", "40s"));

    farm.drones.get_mut("ada").unwrap().silent = true;
    farm.pass(30 * SECOND);
    assert!(farm.told("offline").is_empty(), "the old bound does not hold any more");
    farm.pass(20 * SECOND);
    assert_eq!(farm.told("offline").len(), 1, "the new one does");
}

#[test]
fn the_same_value_again_changes_nothing_and_none_takes_it_back() {
    let mut farm = Farm::of(&["ada"]);
    let patient = Settings { offline_after: 40 * SECOND, ..farm.settings.clone() };
    assert_eq!(touched(farm.request(change(Some("40s"), patient.clone()))), 1);
    assert_eq!(touched(farm.request(change(Some("40s"), patient))), 0);
    assert_eq!(farm.told("audit").len(), 1);
    let before = farm.settings.clone();
    assert_eq!(touched(farm.request(change(None, before.clone()))), 1);
    assert_eq!(farm.store.all::<ConfigRow>(), Vec::new());
    assert_eq!(touched(farm.request(change(None, before))), 0, "there is nothing to take back");
    farm.drones.get_mut("ada").unwrap().silent = true;
    farm.pass(30 * SECOND);
    assert_eq!(farm.told("offline").len(), 1);
}

#[test]
fn readers_see_the_head_of_the_line_in_its_order() {
    let mut farm = Farm::of(&["ada"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/hello"]);
    let waiting: Vec<BuildId> = farm.view().next;
    assert!(!waiting.is_empty());
    for id in &waiting {
        let name = farm.store.get::<swarm_core::rows::BuildRow>(id).unwrap().state.name();
        assert_eq!(name, "needed", "only what waits for nothing but a drone stands in line");
    }
    farm.control(Control::Resume, None);
    assert!(farm.view().next.len() < waiting.len(), "what was given out stands there no more");
}

#[test]
fn what_has_ended_and_is_still_held_is_shown_as_being_uploaded() {
    let mut farm = Farm::of(&["ada"]);
    farm.hold.sign = true;
    farm.queue(&["app-misc/hello"]);
    let task = |farm: &mut Farm| farm.view().drones.values().next().unwrap().tasks[0].clone();
    let held = task(&mut farm);
    farm.starts("ada", held.package.trim_start_matches('='));
    assert_ne!(task(&mut farm).phase, Phase::Upload);
    farm.builds("ada", held.package.trim_start_matches('='));
    farm.beat("ada");
    let task = task(&mut farm);
    assert_eq!((task.fence, task.phase), (held.fence, Phase::Upload));
}
