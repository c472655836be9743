//! Whole journeys as golden transcripts: a reviewer reads a change of behaviour in the difference.

mod farm;

use farm::*;

macro_rules! golden {
    ($farm:expr) => {
        insta::assert_snapshot!($farm.transcript);
    };
}

#[test]
fn one_package_is_built_signed_indexed_and_received() {
    let mut farm = Farm::of(&["anna"]);
    farm.queue(&["app-misc/hello"]);
    farm.starts("anna", "app-misc/hello-1.0");
    farm.pass(7 * SECOND);
    farm.builds("anna", "app-misc/hello-1.0");
    farm.pass(2 * SECOND);
    assert_eq!(farm.state("app-misc/hello-1.0"), "received");
    golden!(farm);
}
