//! The wire as it was written by the version that introduced each message: `golden/v1` holds one file per message and
//! variant, bytes beside a readable JSON twin. Files are only ever added: today's code must read what an older agent or
//! controller sends.
//!
//! A new variant stops this file from compiling until it has a sample; `UPDATE_GOLDEN=1 cargo nextest run -p swarm-protocol`
//! then writes the missing files and changes none that is there.

mod samples;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use samples::{Sample, samples};
use serde_json::{Map, Value, json};
use swarm_protocol::{CodecError, MAX_BODY};

/// Fields that are maps from names to values: a later reader may find any key there, so none can be unknown.
const OPEN_MAPS: [&str; 3] = ["index_header", "details", "use_changes"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn bytes_of(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("JSON is MessagePack")
}

/// Where the older value has something the newer reading lacks; fields that came later are no loss.
fn lost(older: &Value, newer: &Value, at: &str) -> Option<String> {
    match (older, newer) {
        (Value::Object(old), Value::Object(new)) => old.iter().find_map(|(key, value)| {
            let place = format!("{at}/{key}");
            new.get(key).map_or(Some(place.clone()), |found| lost(value, found, &place))
        }),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            old.iter().zip(new).enumerate().find_map(|(index, (old, new))| lost(old, new, &format!("{at}/{index}")))
        }
        _ => (older != newer).then(|| at.to_owned()),
    }
}

#[test]
fn every_message_reads_as_the_version_that_introduced_it_wrote_it() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    fs_err::create_dir_all(folder()).unwrap();
    for sample in samples() {
        let (bytes, twin) =
            (folder().join(format!("{}.msgpack", sample.name)), folder().join(format!("{}.json", sample.name)));
        if update && !bytes.exists() {
            fs_err::write(&bytes, &sample.bytes).unwrap();
            fs_err::write(&twin, format!("{}\n", serde_json::to_string_pretty(&sample.json).unwrap())).unwrap();
        }
        let missing = "is new: UPDATE_GOLDEN=1 writes it";
        let kept = fs_err::read(&bytes).unwrap_or_else(|error| panic!("{} {missing}: {error}", sample.name));
        let read = (sample.read)(&kept).unwrap_or_else(|error| panic!("{}: {error}", sample.name));
        let twin: Value = serde_json::from_str(&fs_err::read_to_string(&twin).unwrap()).unwrap();
        assert_eq!(lost(&twin, &read.json, ""), None, "{} means what its twin says", sample.name);
        let again = (sample.read)(&read.bytes).unwrap();
        assert_eq!(again.json, read.json, "{} means the same when it is written anew", sample.name);
    }
}

#[test]
fn no_file_was_left_behind_by_a_message_that_went() {
    let known: BTreeSet<String> = samples().iter().map(|sample| sample.name.to_owned()).collect();
    for entry in fs_err::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(known.contains(&name), "{} has no sample: a message must not leave the wire", path.display());
    }
}

#[test]
fn the_page_about_the_wire_shows_every_message_as_it_is() {
    let page = fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md")).unwrap();
    let mut shown = BTreeSet::new();
    for part in page.split("<!-- golden: ").skip(1) {
        let (name, rest) = part.split_once(" -->\n```json\n").expect("a block of JSON follows");
        let example: Value = serde_json::from_str(rest.split_once("\n```").expect("the block ends").0).unwrap();
        let twin = fs_err::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        assert_eq!(example, serde_json::from_str::<Value>(&twin).unwrap(), "{name}");
        shown.insert(name.to_owned());
    }
    let all = samples().into_iter().map(|sample| sample.name.to_owned()).filter(|name| !name.ends_with("unknown"));
    assert_eq!(shown, all.collect::<BTreeSet<_>>());
}

/// Puts a field nobody knows into every map but the open ones.
fn with_later_fields(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let grow = |(key, inner): (&String, &Value)| {
                let inner = if OPEN_MAPS.contains(&key.as_str()) { inner.clone() } else { with_later_fields(inner) };
                (key.clone(), inner)
            };
            let mut grown: Map<String, Value> = map.iter().map(grow).collect();
            grown.insert("zz_later".to_owned(), json!({ "deep": [1, "two", null, { "three": -4 }] }));
            Value::Object(grown)
        }
        Value::Array(list) => Value::Array(list.iter().map(with_later_fields).collect()),
        other => other.clone(),
    }
}

#[test]
fn fields_a_newer_sender_adds_anywhere_are_skipped() {
    for sample in samples() {
        let read = (sample.read)(&bytes_of(&with_later_fields(&sample.json)))
            .unwrap_or_else(|error| panic!("{}: {error}", sample.name));
        assert_eq!(read.json, sample.json, "{}", sample.name);
    }
}

/// The paths of all objects with a tag `t`, as JSON pointers.
fn tagged(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if map.contains_key("t") {
                found.push(at.to_owned());
            }
            for (key, inner) in map {
                tagged(inner, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, inner)| tagged(inner, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn a_variant_of_a_later_version_reads_as_unknown_and_takes_nothing_with_it() {
    let mut tried = 0;
    for sample in samples() {
        let mut places = Vec::new();
        tagged(&sample.json, "", &mut places);
        for place in places {
            let mut later = sample.json.clone();
            *later.pointer_mut(&place).unwrap() = json!({ "t": "from_the_future", "with": { "more": [1, 2] } });
            let read =
                (sample.read)(&bytes_of(&later)).unwrap_or_else(|error| panic!("{} {place}: {error}", sample.name));
            let tag = read.json.pointer(&format!("{place}/t")).and_then(Value::as_str);
            assert_eq!(tag, Some("unknown"), "{} {place}", sample.name);
            tried += 1;
        }
    }
    assert!(tried > 20, "only {tried} tagged places were tried");
}

#[test]
fn a_field_that_came_after_the_first_release_may_be_missing() {
    // what an agent of the first release leaves out; everything else it must send
    for (name, fields) in [
        (
            "report.hello",
            &["store_id", "tags", "slots", "waiting", "sources", "orders_seen", "running", "finished"][..],
        ),
        ("report.heartbeat", &["worker", "worker_instance", "attempts", "finished", "tree"]),
        ("order.build", &[]),
    ] {
        let sample = samples().into_iter().find(|sample| sample.name == name).unwrap();
        let mut old = sample.json.clone();
        for field in fields {
            assert!(old["body"].as_object_mut().unwrap().remove(*field).is_some(), "{name} has no {field}");
        }
        (sample.read)(&bytes_of(&old)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn bodies_over_the_bound_and_headers_that_claim_gigabytes_are_refused() {
    for sample in samples() {
        assert_eq!((sample.read)(&vec![0x81; MAX_BODY + 1]).unwrap_err(), CodecError::TooLarge { size: MAX_BODY + 1 });
        for header in
            [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0xdb, 0xff, 0xff, 0xff, 0xff], &[0xdf, 0xff, 0xff, 0xff, 0xff]]
        {
            assert!((sample.read)(header).is_err(), "{}", sample.name);
        }
    }
}

/// Replaces every leaf by one of its kind.
fn scrambled(value: &Value, seed: &mut impl FnMut() -> u64, words: &[String]) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, inner)| (key.clone(), if key == "t" { inner.clone() } else { scrambled(inner, seed, words) }))
            .collect(),
        Value::Array(list) => Value::Array(list.iter().map(|inner| scrambled(inner, seed, words)).collect()),
        Value::String(_) => {
            Value::String(words[usize::try_from(seed() % words.len() as u64).expect("a small number")].clone())
        }
        Value::Number(number) if number.is_f64() => json!((seed() % 100_000) as f64 / 7.0),
        // also what does not fit: then reading must fail, not wrap
        Value::Number(_) => json!(seed() >> (seed() % 64)),
        Value::Bool(_) => json!(seed().is_multiple_of(2)),
        Value::Null => Value::Null,
    }
}

fn chosen() -> impl Strategy<Value = Sample> {
    (0..samples().len()).prop_map(|index| samples().swap_remove(index))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_back_as_it_was(
        sample in chosen(),
        mut state in any::<u64>(),
        words in proptest::collection::vec(any::<String>(), 1..6),
    ) {
        // splitmix64: one number after the other from the case's seed
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed ^ (mixed >> 31)
        };
        let value = scrambled(&sample.json, &mut next, &words);
        if let Ok(read) = (sample.read)(&bytes_of(&value)) {
            let again = (sample.read)(&read.bytes).map_err(|error| TestCaseError::fail(format!("{}: {error}", sample.name)))?;
            prop_assert_eq!(again.json, read.json, "{}", sample.name);
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic(
        sample in chosen(),
        cut in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        tail in proptest::collection::vec(any::<u8>(), 0..16),
    ) {
        let mut bytes = sample.bytes.clone();
        for (at, with) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes.extend(tail);
        let _ = (sample.read)(&bytes);
    }
}
