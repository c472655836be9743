//! Inputs that came together: taken in their order, looked at once.

use swarm_core::request::{Control, ControlRequest, DroneAction, DroneRequest, QueueRequest, RemoveRequest};
use swarm_core::{Effect, Input, Request};

use crate::farm::*;

fn requests(farm: &mut Farm, wanted: &[Request]) -> Vec<Input> {
    let input = |request: &Request| Input::Request {
        actor: "kim".to_owned(),
        request: request.clone(),
        reply: farm.next_reply(),
    };
    wanted.iter().map(input).collect()
}

fn control(action: Control) -> Request {
    Request::Control(ControlRequest { action, package: None, drone: None })
}

fn replies(effects: &[Effect]) -> Vec<String> {
    effects.iter().filter(|effect| matches!(effect, Effect::Reply { .. })).map(|effect| format!("{effect:?}")).collect()
}

#[test]
fn they_are_answered_in_their_order_and_end_where_they_would_one_by_one() {
    let wanted = [
        Request::Queue(QueueRequest { packages: vec!["app-misc/hello".to_owned()], ..QueueRequest::default() }),
        Request::Queue(QueueRequest { packages: vec!["app-misc/hello".to_owned()], ..QueueRequest::default() }),
        Request::Drone(DroneRequest { drone: "anna".to_owned(), action: DroneAction::Pause }),
        Request::Queue(QueueRequest { packages: vec!["app-misc/other".to_owned()], ..QueueRequest::default() }),
        Request::Remove(RemoveRequest { package: "app-misc/other".to_owned() }),
        Request::Drone(DroneRequest { drone: "nobody".to_owned(), action: DroneAction::Pause }),
    ];
    let (mut one_by_one, mut together) = (Farm::of(&["anna", "ben"]), Farm::of(&["anna", "ben"]));
    let mut single = Vec::new();
    for input in requests(&mut one_by_one, &wanted) {
        single.extend(one_by_one.core.handle(one_by_one.now, input));
    }
    let inputs = requests(&mut together, &wanted);
    let batch = together.core.handle_all(together.now, inputs);
    assert_eq!(replies(&batch).len(), wanted.len());
    assert_eq!(replies(&batch), replies(&single));
    for farm in [&mut one_by_one, &mut together] {
        farm.core.drain(farm.now, &mut farm.store);
    }
    // the plan is asked of whoever may plan when all is said: the same drone both times, since the other is paused
    assert_eq!(together.outward(), one_by_one.outward());
}

#[test]
fn work_is_given_out_when_all_of_them_are_taken() {
    let mut farm = Farm::of(&["anna"]);
    farm.control(Control::Pause, None);
    farm.queue(&["app-misc/hello"]);
    let orders = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Order { .. })).count();
    let inputs = requests(&mut farm, &[control(Control::Resume), control(Control::Pause)]);
    let effects = farm.core.handle_all(farm.now, inputs);
    assert_eq!((replies(&effects).len(), orders(&effects)), (2, 0), "paused again before anything was given out");
    let inputs = requests(&mut farm, &[control(Control::Pause), control(Control::Resume)]);
    let effects = farm.core.handle_all(farm.now, inputs);
    assert_eq!((replies(&effects).len(), orders(&effects)), (2, 1));
}

#[test]
fn none_at_all_is_harmless() {
    let mut farm = Farm::of(&["anna"]);
    assert_eq!(farm.core.handle_all(farm.now, []), vec![]);
    assert!(!farm.core.is_changed());
}
