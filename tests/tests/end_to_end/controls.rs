//! What people do to a swarm by the command line while it builds: drains, work taken back, failures forgotten, drones and
//! history forgotten, packages let go. What each command prints is looked at, and then whether it is true.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use swarm_tests::standing_in::{Behaviour, CHOST, End, Entry, REPOSITORY};
use swarm_tests::{Swarm, gpkg, processes, until};

/// Some builds of some seconds each, on busy cores.
const SOON: Duration = Duration::from_secs(60);
/// A drone is offline soon, and its work is taken back by a person or not within this test.
const RULES: &str = "heartbeat = \"500ms\"\noffline_after = \"2s\"\nlease = \"30m\"\nstart_grace = \"1s\"";

/// What a command that succeeds prints.
fn told(swarm: &Swarm, line: &str) -> Result<String> {
    let (status, said) = swarm.tried(&line.split_whitespace().collect::<Vec<_>>())?;
    ensure!(status == 0, "swarm {line} ended with {status}: {said}");
    Ok(said)
}

/// And that it says so.
fn says(swarm: &Swarm, line: &str, words: &str) -> Result<()> {
    let said = told(swarm, line)?;
    ensure!(said.contains(words), "swarm {line}: no {words:?} in\n{said}");
    Ok(())
}

fn ends(swarm: &Swarm, package: &str, end: End) -> Result<()> {
    swarm.stand_in().change(|set| {
        set.packages.insert(format!("stand-in/{package}"), Behaviour { end, ..Behaviour::default() });
    })
}

fn queue(swarm: &Swarm, packages: &[&str]) -> Result<()> {
    let atoms: Vec<String> = packages.iter().map(|package| format!("=stand-in/{package}-1")).collect();
    told(swarm, &format!("queue add {}", atoms.join(" "))).map(drop)
}

fn until_all(swarm: &Swarm, packages: &[&str], state: &str) -> Result<Vec<Value>> {
    packages.iter().map(|package| swarm.until_state(&format!("=stand-in/{package}"), state, SOON)).collect()
}

/// Emerges of a package that began, oldest first.
fn began(swarm: &Swarm, package: &str) -> Result<Vec<Entry>> {
    let cpv = format!("stand-in/{package}-1");
    Ok(swarm.stand_in().journal()?.into_iter().filter(|entry| entry.cpv == cpv && entry.status.is_none()).collect())
}

fn until_begun(swarm: &Swarm, package: &str, times: usize) -> Result<Entry> {
    let begun = until(format!("{package} to begin the {times}. time"), SOON, || {
        Ok(began(swarm, package)?.get(times - 1).cloned())
    });
    begun.map_err(|error| error.context(swarm.logs()))
}

fn node(swarm: &Swarm, name: &str) -> Result<Option<Value>> {
    let nodes = swarm.http.get("/api/v1/nodes?all=true")?;
    Ok(nodes.as_array().context("nodes are an array")?.iter().find(|node| node["name"] == name).cloned())
}

#[test]
fn what_people_command_is_said_and_comes_true() -> Result<()> {
    let mut swarm = Swarm::standing_in(2, RULES)?;
    a_drain_is_waited_for_and_holds(&swarm)?;
    what_has_not_begun_is_asked_back_and_what_a_drone_has_is_taken(&swarm)?;
    failures_are_forgotten_and_what_is_blocked_starts_over(&swarm)?;
    let gone = work_of_a_drone_that_is_gone_is_taken_back(&mut swarm)?;
    only_a_drone_that_is_gone_is_forgotten_and_it_does_not_come_back(&mut swarm, &gone)?;
    the_binhost_lets_go_of_what_is_too_much(&swarm)?;
    the_smallest_package_there_is_is_kept_like_any_other(&swarm)?;
    the_history_is_forgotten(&swarm)?;
    swarm.none_ended()
}

fn a_drain_is_waited_for_and_holds(swarm: &Swarm) -> Result<()> {
    let long = ["a_ms5000", "b_ms5000"];
    queue(swarm, &long)?;
    let both = [until_begun(swarm, long[0], 1)?, until_begun(swarm, long[1], 1)?];
    let on_d2 = both.iter().find(|entry| entry.drone == "d2").context("each drone has one")?;
    let said = told(swarm, "drone drain d2 --wait")?;
    ensure!(said.contains("d2 still has ") && said.contains(&on_d2.cpv), "{said}");
    ensure!(said.contains("d2 is empty, and gets no work until it is resumed"), "{said}");
    let ended = swarm.stand_in().journal()?.into_iter().any(|entry| entry.pid == on_d2.pid && entry.status == Some(0));
    ensure!(ended, "what ran there was not cut short");
    let entry = swarm.entry(&format!("={}", on_d2.cpv))?.context("it is in the queue")?;
    ensure!(entry["status"] == "received", "it was waited for to the end: {entry}");

    let more = ["c1", "c2", "c3"];
    queue(swarm, &more)?;
    until_all(swarm, &more, "received")?;
    for package in more {
        let begun = began(swarm, package)?;
        ensure!(begun.iter().all(|entry| entry.drone == "d1"), "a drained drone gets nothing: {begun:?}");
    }
    says(swarm, "drone drain d2", "d2 is draining")?;
    says(swarm, "drone drain d2 --wait", "d2 is empty")?;
    says(swarm, "drone resume d2", "d2 takes work again")?;
    let pair = ["d_ms1000", "e_ms1000"];
    queue(swarm, &pair)?;
    until_all(swarm, &pair, "received")?;
    let again = [began(swarm, pair[0])?, began(swarm, pair[1])?].concat();
    ensure!(again.iter().any(|entry| entry.drone == "d2"), "and when it is resumed it does: {again:?}");
    let (status, said) = swarm.tried(&["drone", "drain", "d3", "--wait"])?;
    ensure!(status == 1 && said.contains("there is no drone d3") && said.contains("next: "), "{status} {said}");
    Ok(())
}

fn what_has_not_begun_is_asked_back_and_what_a_drone_has_is_taken(swarm: &Swarm) -> Result<()> {
    told(swarm, "drone pause d2")?;
    ends(swarm, "hog", End::Hangs)?;
    queue(swarm, &["hog"])?;
    let hog = until_begun(swarm, "hog", 1)?;
    let line = ["f1", "f2"];
    queue(swarm, &line)?;
    for entry in until_all(swarm, &line, "delegated")? {
        ensure!(entry["assigned_to"] == "d1", "{entry}");
    }
    says(swarm, "control rebalance", "rebalance: reclaimed 2\n")?;
    let event = swarm.events("rebalance")?.pop().context("it is told")?;
    ensure!(event["message"].as_str().is_some_and(|text| text.contains("asked back 2 package(s)")), "{event}");
    // they come back to the only drone there is, and what it has begun was left alone
    until("both to be given out anew", SOON, || {
        let entries = line.map(|package| swarm.entry(&format!("=stand-in/{package}")));
        let anew = entries.into_iter().collect::<Result<Option<Vec<Value>>>>()?.context("both are there")?;
        Ok(anew.iter().all(|entry| entry["attempt"].as_u64() > Some(1)).then_some(()))
    })
    .map_err(|error| error.context(format!("{:?}", swarm.entry("=stand-in/f1"))))?;
    ensure!(processes::lives(hog.pid) && began(swarm, "hog")?.len() == 1, "what has begun is not asked back");

    ends(swarm, "hog", End::Built)?;
    says(swarm, "control reclaim", "reclaim: nothing to do")?;
    says(swarm, "control reclaim d1", "reclaim d1: reclaimed 3\n")?;
    until("what ran to be ended", SOON, || Ok((!processes::lives(hog.pid)).then_some(())))?;
    told(swarm, "drone resume d2")?;
    for entry in until_all(swarm, &["hog", "f1", "f2"], "received")? {
        ensure!(entry["failures"] == 0, "nobody is to blame: {entry}");
    }
    ensure!(began(swarm, "hog")?.len() == 2, "it began anew");
    Ok(())
}

fn failures_are_forgotten_and_what_is_blocked_starts_over(swarm: &Swarm) -> Result<()> {
    let failures = |package: &str| -> Result<Value> {
        let entry = swarm.entry(&format!("=stand-in/{package}"))?.context("it is in the queue")?;
        Ok(entry["failures"].clone())
    };
    ends(swarm, "bad", End::Fails)?;
    ends(swarm, "hog2", End::Hangs)?;
    queue(swarm, &["bad"])?;
    until_all(swarm, &["bad"], "blocked")?;
    ensure!(failures("bad")? == 2, "it failed on both drones");
    // it stays blocked, but what it did is forgotten
    says(swarm, "control clear-failures stand-in/bad", "clear-failures stand-in/bad: cleared 1\n")?;
    ensure!(failures("bad")? == 0);
    says(swarm, "control clear-failures", "clear-failures: nothing to do")?;
    ends(swarm, "bad", End::Built)?;
    says(swarm, "control retry-failures", "retry-failures: requeued 1\n")?;
    until_all(swarm, &["bad"], "received")?;
    says(swarm, "control retry-failures", "retry-failures: nothing to do")?;

    ends(swarm, "bad2", End::Fails)?;
    told(swarm, "control pause")?;
    queue(swarm, &["bad2", "hog2", "held"])?;
    until_all(swarm, &["held"], "needed")?;
    says(swarm, "control block stand-in/held", "block stand-in/held: blocked 1\n")?;
    told(swarm, "control resume")?;
    let hog = until_begun(swarm, "hog2", 1)?;
    until("the other drone to fail", SOON, || Ok((failures("bad2")? == 1).then_some(())))?;
    for package in ["bad2", "hog2"] {
        ends(swarm, package, End::Built)?;
    }
    until_all(swarm, &["held"], "blocked")?;
    says(swarm, "control reset", "reset: affected 3\n")?;
    for entry in until_all(swarm, &["bad2", "hog2", "held"], "received")? {
        ensure!(entry["failures"] == 0, "{entry}");
    }
    ensure!(!processes::lives(hog.pid), "what hung was ended");
    Ok(())
}

/// The drone's name.
fn work_of_a_drone_that_is_gone_is_taken_back(swarm: &mut Swarm) -> Result<String> {
    ends(swarm, "hog3", End::Hangs)?;
    queue(swarm, &["hog3"])?;
    let gone = until_begun(swarm, "hog3", 1)?.drone;
    swarm.drone(&gone).cut_power()?;
    until("it to be offline", SOON, || Ok(node(swarm, &gone)?.filter(|node| node["status"] == "offline")))?;
    ends(swarm, "hog3", End::Built)?;
    let entry = swarm.entry("=stand-in/hog3")?.context("it is in the queue")?;
    ensure!(entry["status"] == "delegated" && entry["assigned_to"] == gone.as_str(), "it might come back: {entry}");
    says(swarm, "control reclaim", "reclaim: reclaimed 1\n")?;
    until_all(swarm, &["hog3"], "received")?;
    let again = until_begun(swarm, "hog3", 2)?;
    ensure!(again.drone != gone, "another one built it: {again:?}");
    says(swarm, "control reclaim", "reclaim: nothing to do")?;
    Ok(gone)
}

fn only_a_drone_that_is_gone_is_forgotten_and_it_does_not_come_back(swarm: &mut Swarm, gone: &str) -> Result<()> {
    let here = swarm.names().into_iter().find(|name| name != gone).context("there are two")?;
    let (status, said) = swarm.tried(&["drone", "forget", &here])?;
    ensure!(status == 1 && said.contains(&format!("{here} is online")) && said.contains("next: "), "{status} {said}");
    says(swarm, &format!("drone forget {gone}"), &format!("{gone} is forgotten"))?;
    ensure!(node(swarm, gone)?.is_none() && node(swarm, &here)?.is_some());
    let fleet = told(swarm, "fleet")?;
    ensure!(fleet.contains(&here) && !fleet.contains(gone), "{fleet}");
    let (status, said) = swarm.tried(&["drone", "forget", gone])?;
    ensure!(status == 1 && said.contains(&format!("there is no drone {gone}")), "{status} {said}");
    let drone = swarm.drone(gone);
    let end = drone.log_end();
    drone.start()?;
    until("it to be turned away", SOON, || {
        Ok(drone.log_since(end)?.contains("the bus does not accept this drone's key").then_some(()))
    })?;
    drone.cut_power()?;
    ensure!(node(swarm, gone)?.is_none(), "a key that was forgotten is let in no more");
    Ok(())
}

fn the_binhost_lets_go_of_what_is_too_much(swarm: &Swarm) -> Result<()> {
    let listed =
        || -> Result<usize> { Ok(swarm.index()?.lines().filter(|line| *line == "CPV: stand-in/c1-1").count()) };
    told(swarm, "queue add --rebuild --wait =stand-in/c1-1")?;
    until("the second build to be listed", SOON, || Ok((listed()? == 2).then_some(())))?;
    says(swarm, "binhost gc --dry-run", "0 packages, 0 B, would leave the binhost")?;
    told(swarm, "settings set binhost.keep 1")?;
    let said = told(swarm, "binhost gc --dry-run")?;
    ensure!(said.contains("stand-in/c1-1") && said.contains("1 packages, "), "{said}");
    ensure!(said.contains(", would leave the binhost") && listed()? == 2, "trying changes nothing: {said}");
    let said: Value = serde_json::from_str(&told(swarm, "--json binhost gc")?)?;
    ensure!(said["count"] == 1 && said["packages"][0]["build_id"] == 1, "the older one goes: {said}");
    until("the index without it", SOON, || Ok((listed()? == 1).then_some(())))?;
    ensure!(swarm.index()?.contains("c1-1-2.gpkg.tar"), "the newer one stays: {}", swarm.index()?);
    let said = told(swarm, "binhost gc")?;
    ensure!(said.contains("0 packages, 0 B, leave the binhost") && said.contains("1 more, "), "{said}");
    Ok(())
}

/// Nothing in it, everything compressed: what a virtual package is. Smaller a gpkg can't be, for each member has a header of
/// 512 bytes and is filled up to as many.
fn smallest(cpv: &str) -> Result<Vec<u8>> {
    let (category, pf) = cpv.split_once('/').context("a category")?;
    let keys = [
        ("BUILD_ID", "1"),
        ("BUILD_TIME", "1795449718"),
        ("CATEGORY", category),
        ("CHOST", CHOST),
        ("EAPI", "8"),
        ("KEYWORDS", "amd64 arm64"),
        ("PF", pf),
        ("SLOT", "0"),
        ("repository", REPOSITORY),
    ];
    let metadata = gpkg::metadata(keys.map(|(key, value)| (key, format!("{value}\n").into_bytes())), 0)?;
    // the end of a tar, and nothing before it
    let members = [
        ("metadata.tar.zst", zstd::encode_all(&*metadata, 19)?),
        ("image.tar.zst", zstd::encode_all(&[0; 1024][..], 19)?),
    ];
    gpkg::pack(pf, members, 0)
}

fn the_smallest_package_there_is_is_kept_like_any_other(swarm: &Swarm) -> Result<()> {
    let (cpv, bytes) = ("virtual/nothing-1", smallest("virtual/nothing-1")?);
    ensure!(bytes.len() < 6 << 10, "it is small: {} bytes", bytes.len());
    let folder = swarm.dir().join("somebodys/virtual/nothing");
    fs_err::create_dir_all(&folder)?;
    fs_err::write(folder.join("nothing-1-1.gpkg.tar"), &bytes)?;
    let said: Value = serde_json::from_str(&told(swarm, &format!("--json binhost import {}", folder.display()))?)?;
    ensure!(said["imported"] == 1, "{said}");
    let listed = || -> Result<bool> { Ok(swarm.index()?.lines().any(|line| line == format!("CPV: {cpv}"))) };
    until("it to be listed", SOON, || Ok(listed()?.then_some(())))?;
    says(swarm, "binhost gc", "0 packages, 0 B, leave the binhost")?;
    says(swarm, "binhost verify", "all is as it should be")?;
    ensure!(listed()?, "it stays in the index");
    let list = swarm.http.get("/api/v1/binhost/packages?package=virtual/nothing")?;
    let package = &list["packages"][0];
    ensure!(package["state"] == "published", "{list}");
    let (index, path) = (package["index"].as_str().context("an index")?, package["path"].as_str().context("a path")?);
    let size = fs_err::metadata(swarm.data().join("binhost").join(index).join(path))?.len();
    ensure!(package["size_bytes"] == size, "its file is there: {size} bytes, {list}");
    Ok(())
}

fn the_history_is_forgotten(swarm: &Swarm) -> Result<()> {
    let many = swarm.http.get("/api/v1/history?limit=500")?;
    let many = many["history"].as_array().map_or(0, Vec::len);
    ensure!(many > 10, "there is a history: {many}");
    let said = told(swarm, "control clear-history")?;
    ensure!(said.contains("clear-history: cleared "), "{said}");
    says(swarm, "history", "no attempt has ended yet")?;
    let left = swarm.http.get("/api/v1/history?limit=500")?;
    ensure!(left["history"].as_array().is_some_and(Vec::is_empty), "{left}");
    // and it goes on from there
    queue(swarm, &["last"])?;
    until_all(swarm, &["last"], "received")?;
    says(swarm, "history", "stand-in/last-1")
}
