use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn none(_: &str) -> Option<String> {
    None
}

/// The example with every commented key switched on.
fn all_on() -> String {
    let is_key =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    EXAMPLE.lines().map(|line| if is_key(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_true_with_its_comments_and_with_every_key_switched_on() {
    parse("example", EXAMPLE, none).unwrap();
    let all = parse("example", &all_on(), none).unwrap();
    let table: toml::Table = toml::from_str(&all_on()).unwrap();
    let mut keys = BTreeSet::new();
    for (name, value) in &table {
        match value {
            toml::Value::Table(inner) => keys.extend(inner.keys().map(|key| format!("{name}.{key}"))),
            _ if name == "more_roots" => {}
            _ => drop(keys.insert(name.clone())),
        }
    }
    let known: BTreeSet<String> = source::KEYS.iter().map(|(key, _)| (*key).to_owned()).collect();
    assert_eq!(keys, known, "each key stands in the example and is a variable");
    let default = File::default();
    assert_eq!(all.bus, BusConfig { ca: all.bus.ca.clone(), ..default.bus });
    assert_eq!((all.watchdog, all.limits, all.healing), (default.watchdog, default.limits, default.healing));
    assert_eq!(all.sync, default.sync);
    assert_eq!((all.slots, &all.tags, &all.log), (default.slots, &default.tags, &default.log));
    assert_eq!(all.cores_per_slot, default.cores_per_slot);
}

#[test]
fn slots_are_as_said_or_as_many_as_the_processors_are_for() {
    for (said, per_slot, cores, expected) in
        [(1, 4, 64, 1), (3, 4, 2, 3), (0, 4, 16, 4), (0, 4, 18, 4), (0, 4, 3, 1), (0, 0, 2, 2), (0, 1, 2, 2)]
    {
        assert_eq!(slots(said, per_slot, cores), expected, "slots = {said}, {per_slot} each, {cores} processors");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    for (text, key, nearest) in [
        ("slotz = 1", "slotz", Some("slots")),
        ("[bus]\nulr = \"x\"", "ulr", Some("url")),
        ("[watchdog]\nsilense = \"1s\"", "silense", Some("silence")),
        (
            "[root]\npath = \"/x\"\nvenv = \"/v\"\nrepository = \"/r\"\nmake_opts = \"-j2\"",
            "make_opts",
            Some("makeopts"),
        ),
        ("frobnicate_everything = 1", "frobnicate_everything", None),
    ] {
        let error = parse("drone.toml", text, none).unwrap_err();
        let ConfigError::UnknownKey { key: found, nearest: guess, .. } = &error else { panic!("{error:?}") };
        assert_eq!((found.as_str(), guess.as_deref()), (key, nearest), "{error}");
    }
    let error = parse("drone.toml", "slotz = 1", none).unwrap_err().to_string();
    assert_eq!(error, "drone.toml: unknown key `slotz`; did you mean `slots`?");
}

#[test]
fn a_variable_wins_over_the_file() {
    let environment = |name: &str| match name {
        "BUILD_SWARM_BUS_URL" => Some("nats://elsewhere:1".to_owned()),
        "BUILD_SWARM_SLOTS" => Some("3".to_owned()),
        "BUILD_SWARM_TAGS" => Some("big, sweeper".to_owned()),
        "BUILD_SWARM_WATCHDOG_SILENCE" => Some("90s".to_owned()),
        "BUILD_SWARM_NAME" => Some(String::new()),
        _ => None,
    };
    let file = parse("f", "name = \"kept\"\nslots = 2\n[bus]\nurl = \"nats://here:1\"", environment).unwrap();
    assert_eq!((file.slots, file.bus.url.as_str(), file.name.as_str()), (3, "nats://elsewhere:1", "kept"));
    assert_eq!(file.tags, ["big", "sweeper"]);
    assert_eq!(file.watchdog.silence, Duration::from_secs(90));
    let bad = |name: &str| (name == "BUILD_SWARM_SLOTS").then(|| "many".to_owned());
    let error = parse("f", "", bad).unwrap_err().to_string();
    assert_eq!(error, "the environment: BUILD_SWARM_SLOTS: \"many\" is not a whole number");
}

#[test]
fn values_that_cannot_be_are_refused_with_the_key() {
    for (text, says) in [
        ("slots = \"two\"", "slots"),
        ("[watchdog]\nsilence = \"soon\"", "duration"),
        ("slots = ", "TOML"),
        ("[root]\nvenv = \"/v\"", "missing field `path`"),
    ] {
        let error = parse("f", text, none).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn more_slots_than_roots_and_a_seed_others_can_read_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let seed = dir.path().join("seed");
    fs::write(&seed, nkeys::KeyPair::new_user().seed().unwrap()).unwrap();
    fs::set_permissions(&seed, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "credentials = {seed:?}\nslots = 2\n[root]\npath = \"/x\"\nvenv = \"/v\"\nrepository = \"/r\"\n",
        seed = seed.display().to_string()
    );
    let resolve = |text: &str| Config::resolve("f", parse("f", text, none).unwrap(), None);
    assert!(resolve(&text).unwrap_err().to_string().contains("more_roots"));
    let one = text.replace("slots = 2", "slots = 1");
    let config = resolve(&one).unwrap();
    assert!(config.drone.as_str().starts_with('U'));
    assert!(!format!("{config:?}").contains(&config.seed));
    fs::set_permissions(&seed, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(resolve(&one).unwrap_err().to_string().contains("chmod 600"));
}
