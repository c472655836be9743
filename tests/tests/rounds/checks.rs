//! What must hold when all is over: read from the façade, the stream, the drones' logs, the index, and the journal of the
//! builds themselves.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use swarm_tests::{Bus, Swarm, Tapper, processes, until};

use super::{AGAIN, FAILS};

/// No acknowledged request is lost, and none is done twice: what can be built was built once, what fails was tried on two
/// drones, or on the only one that was there, and blocked.
pub(crate) fn every_package_came_to_its_end_once(
    swarm: &Swarm,
    history: &BTreeMap<u64, Value>,
    wanted: &[String],
) -> Result<()> {
    ensure!(history.keys().copied().eq(1..=history.len() as u64), "the history has gaps: {:?}", history.keys());
    let count = |status: &str, culprit: Option<&str>| {
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for row in history.values().filter(|row| row["status"] == status && row["culprit"].as_str() == culprit) {
            *found.entry(row["package"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        found
    };
    let (successes, failures) = (count("success", None), count("failed", Some("package")));
    let fails = |atom: &&String| atom.contains(FAILS);
    let wrong: Vec<_> = wanted.iter().filter(|atom| !fails(atom) && successes.get(*atom) != Some(&1)).collect();
    ensure!(wrong.is_empty(), "not built exactly once: {wrong:?}");
    // on two drones, or on all that were there at that moment
    let wrong: Vec<_> =
        wanted.iter().filter(fails).filter(|atom| !matches!(failures.get(*atom), Some(1 | 2))).collect();
    ensure!(wrong.is_empty(), "not tried once or twice: {wrong:?} {failures:?}");
    let mut tried = BTreeSet::new();
    for row in history.values().filter(|row| row["culprit"] == "package") {
        ensure!(
            tried.insert((row["package"].as_str(), row["drone_name"].as_str())),
            "counted twice against the same package: {row}"
        );
    }
    ensure!(successes.len() + failures.len() == wanted.len(), "{successes:?} {failures:?}");
    let mut completed: BTreeMap<String, usize> = BTreeMap::new();
    for event in swarm.http.all_events()?.iter().filter(|event| event["type"] == "complete") {
        *completed.entry(event["details"]["package"].as_str().context("a package")?.to_owned()).or_default() += 1;
    }
    ensure!(completed == successes, "the events tell of other successes than the history");
    Ok(())
}

/// What drones were told is durable is in the history, once, as they told it.
pub(crate) fn every_answer_was_kept(swarm: &mut Swarm, history: &BTreeMap<u64, Value>) -> Result<()> {
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for row in history.values() {
        *rows.entry(format!("{}.{}", row["build"], row["attempt"])).or_default() += 1;
    }
    let mut acknowledged = 0;
    for name in swarm.names() {
        let log = swarm.drone(&name).log_since(0)?;
        for line in log.lines().filter(|line| line.contains("a report was answered") && line.contains("answer=Durable"))
        {
            let word = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key));
            let (fence, number) = (word("attempt=").context("a fence")?, word("number=").context("a number")?);
            // 1 is "taken", 2 "started"; the end of an attempt is 3 or above
            if number.parse::<u32>()? >= 3 {
                ensure!(
                    rows.get(fence) == Some(&1),
                    "{name} was told that the end of {fence} is durable: {:?} rows of it",
                    rows.get(fence)
                );
                acknowledged += 1;
            }
        }
    }
    let doubled: Vec<_> = rows.iter().filter(|(_, times)| **times != 1).collect();
    ensure!(doubled.is_empty(), "attempts in the history more than once: {doubled:?}");
    ensure!(acknowledged > 0, "the drones' logs tell of answers");
    println!("{acknowledged} results were acknowledged, {} attempts are in the history", rows.len());
    Ok(())
}

/// No order was carried out twice, by whoever was started anew, and no two emerges shared a root.
pub(crate) fn nothing_ran_twice(swarm: &Swarm) -> Result<()> {
    let (mut began, mut last) = (BTreeSet::new(), BTreeMap::new());
    for entry in swarm.stand_in().journal()? {
        if entry.status.is_none() {
            ensure!(began.insert(entry.fence.clone()), "attempt {} was begun twice", entry.fence);
            last.insert(entry.drone, entry.fence);
        } else {
            ensure!(
                last.get(&entry.drone) == Some(&entry.fence),
                "{entry:?} ended after {:?} had begun",
                last.get(&entry.drone)
            );
        }
    }
    Ok(())
}

/// The stream, the history and the tapper tell the same events, without a gap and none of them twice.
pub(crate) fn every_event_was_told_once(swarm: &Swarm, bus: &Bus, tapper: &Tapper) -> Result<()> {
    let told = swarm.http.all_events()?;
    let numbers: Vec<u64> = told.iter().filter_map(|event| event["id"].as_u64()).collect();
    ensure!(numbers.iter().copied().eq(1..=told.len() as u64), "the history has gaps or doubles");
    let newest = told.len() as u64;
    until("the stream to be complete", AGAIN, || {
        Ok(tapper.last().is_some_and(|event| event.seq >= newest).then_some(()))
    })?;
    let stream = bus.stream()?;
    ensure!(
        stream.iter().map(|(number, _)| *number).eq(1..=newest),
        "the stream has gaps or doubles: {} of {newest}",
        stream.len()
    );
    for ((number, event), told) in stream.iter().zip(&told) {
        ensure!(
            *number == event.seq && told["message"] == event.message.as_str(),
            "event {number} differs: {event:?} {told}"
        );
    }
    let heard = tapper.heard()?;
    let mut numbers = BTreeSet::new();
    let again = heard.iter().filter(|event| !numbers.insert(event.seq)).count();
    for event in &heard {
        let told = stream.get(usize::try_from(event.seq)? - 1).context("an event of the stream")?;
        ensure!(told.1 == *event, "the tapper heard another event {}: {event:?}, not {:?}", event.seq, told.1);
    }
    println!(
        "{newest} events; a tapper heard {} of them live, {again} of these once more after the bus came back",
        numbers.len()
    );
    Ok(())
}

/// Every package is in the index once, and its file is there.
pub(crate) fn every_package_is_published(swarm: &Swarm, wanted: &[String]) -> Result<()> {
    let index = swarm.index()?;
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    let shown = swarm.http.get("/api/v1/binhost")?;
    let folder = swarm.data().join("binhost").join(shown["indexes"][0]["index"].as_str().context("an index")?);
    for block in index.split("\n\n").skip(1).filter(|block| !block.trim().is_empty()) {
        let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        *listed.entry(format!("={}", value("CPV:").context("CPV")?)).or_default() += 1;
        let file = fs_err::metadata(folder.join(value("PATH:").context("PATH")?))?;
        ensure!(value("SIZE:") == Some(&file.len().to_string()), "a file of another size: {block}");
    }
    let wrong: Vec<_> = wanted.iter().filter(|atom| listed.contains_key(*atom) == atom.contains(FAILS)).collect();
    ensure!(wrong.is_empty(), "received and not published, or failed and published: {wrong:?}");
    Ok(())
}

/// No attempt is held any more, and no build runs.
pub(crate) fn nothing_is_left_behind(swarm: &mut Swarm) -> Result<()> {
    for name in swarm.names() {
        until(format!("{name} to let go of everything"), AGAIN, || {
            Ok(swarm.drone(&name).held().is_empty().then_some(()))
        })?;
    }
    let venv = swarm.stand_in().venv().join("bin/emerge").to_string_lossy().into_owned();
    until("every emerge to be gone", AGAIN, || Ok(processes::with(&[&venv]).is_empty().then_some(())))
        .map_err(|error| error.context(format!("{:?}", processes::with(&[&venv]))))
}
