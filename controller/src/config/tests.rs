use std::path::{Path, PathBuf};

use swarm_core::Settings;

use super::keys::KEYS;
use super::value::Raw;
use super::*;

fn file(text: &str) -> Sources {
    Sources { file: Some((PathBuf::from("controller.toml"), text.to_owned())), ..Sources::default() }
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::from_sources(&file(text))
}

fn errors(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_example_parses_to_the_defaults_and_names_every_key() {
    let text = example();
    assert_eq!(parse(&text).unwrap(), Config::default());
    for key in KEYS {
        let name = key.name.rsplit('.').next().unwrap();
        let stands = text.lines().any(|line| line.trim_start_matches('#').starts_with(&format!("{name} = ")));
        assert!(stands, "{} is missing", key.name);
        assert!(text.contains(&key.variable()), "{}", key.variable());
    }
}

#[test]
fn what_the_example_comments_out_is_valid_too() {
    let wanted = |line: &str| {
        !(line.starts_with("# ") || line.starts_with("#ca = ") || line.contains("url =") && line.contains("bus."))
    };
    let text: Vec<String> =
        example().lines().filter(|line| wanted(line)).map(|line| line.trim_start_matches('#').to_owned()).collect();
    // mails need somebody to go to, and a webhook is either here or there
    let text: Vec<String> = text
        .into_iter()
        .filter(|line| !line.starts_with("webhook_url_file"))
        .map(|line| line.replace("mail_to = []", "mail_to = [\"ops@example.org\"]"))
        .collect();
    let config = parse(&text.join("\n")).unwrap();
    assert_eq!(config.notify.settings().mail.unwrap().port, 587);
    assert_eq!(config.http.public_url.as_deref(), Some("http://swarm.example.org:8100"));
    assert_eq!(config.bus.port, Some(4222));
}

#[test]
fn every_number_of_the_core_is_a_key() {
    // A field that is added to the settings and not here does not compile.
    let Settings {
        version: _,
        http_url: _,
        key_fingerprint: _,
        public_key: _,
        binhost_secret: _,
        // these two are among the keys of [binhost]
        keep_builds: _,
        delete_after: _,
        heartbeat: _,
        offline_after: _,
        instance_fresh: _,
        lease: _,
        start_grace: _,
        resend_order: _,
        plan_timeout: _,
        min_free_disk: _,
        failures_to_block: _,
        retry_blocked_after: _,
        max_auto_retries: _,
        fleet_backoff: _,
        fleet_backoff_max: _,
        fleet_failures_to_block: _,
        invite_life: _,
        max_invites: _,
        drone_retry_after: _,
        drone_failures_to_block: _,
        failures_to_ground: _,
        ground_for: _,
        uploads_to_impair: _,
        impair_for: _,
        unplaceable_after: _,
        ticket_life: _,
        log_wait: _,
        keep_sessions: _,
        max_queue: _,
        limits: _,
        default_duration: _,
        priority_step: _,
        age_weight: _,
        prefetch: _,
        prefetch_within: _,
        steal_after: _,
        cut_off_hold: _,
        sync: _,
        sync_timeout: _,
        sync_again: _,
        packages: _,
        profile_tags: _,
        healing,
    } = Settings::default();
    // 45 fields besides those of the binhost, less the four that are no numbers and healing, and three limits for one.
    assert_eq!(KEYS.iter().filter(|key| key.name.starts_with("rules.")).count(), 45 - 4 - 1 - 1 + 3);
    let swarm_core::settings::Healing {
        enabled: _,
        ping_every: _,
        ping_within: _,
        misses: _,
        judge_after: _,
        worker_unrevived_after: _,
        good_pongs: _,
        wait_restart: _,
        wait_hard_restart: _,
        wait_reboot: _,
        route_within: _,
        cooldown: _,
        reboots_per_day: _,
        alert_repeat: _,
        hypervisor: _,
    } = healing;
    // 15 fields, three commands for one, and what SSH runs.
    assert_eq!(KEYS.iter().filter(|key| key.name.starts_with("healing.")).count(), 15 - 1 + 3 + 1);
}

#[test]
fn keys_are_set_each_in_its_own_place() {
    // Every key gets a value unlike its default; each must change the configuration, and no two in the same way.
    let mut seen = Vec::new();
    for key in KEYS {
        let values = [
            "\"1h 7s\"",
            "\"77MiB\"",
            "77",
            "true",
            "false",
            "\"127.0.0.9\"",
            "[\"x1\"]",
            "[\"a/b total=1h memory=1GiB tags=x+y\"]",
            "[\"server=ssd+big\"]",
            "\"warn\"",
            "\"tls\"",
            "\"/some/text\"",
        ];
        let changed = values.iter().find_map(|value| {
            let mut config = Config::default();
            let table: toml::Table = format!("key = {value}").parse().unwrap();
            (key.set)(&mut config, Raw::File(&table["key"])).ok()?;
            if config == Config::default() {
                return None;
            }
            let shown = (key.show)(&config)?;
            assert_eq!(shown, *value, "{}", key.name);
            (config != Config::default()).then_some(config)
        });
        let config = changed.unwrap_or_else(|| panic!("{} takes no value, or changes nothing", key.name));
        assert!(!seen.contains(&config) && config != Config::default(), "{} changes nothing of its own", key.name);
        seen.push(config);
    }
}

#[test]
fn flags_win_over_the_environment_that_over_the_file_that_over_the_defaults() {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut sources = file("[http]\nport = 1\nadmin_port = 2\nlisten = \"127.0.0.1\"");
    sources.environment = vec![set("CONTROL_PLANE_PORT", "11"), set("ADMIN_PORT", "12"), set("PATH", "/bin")];
    sources.flags = vec![set("http.port", "21")];
    let config = Config::from_sources(&sources).unwrap();
    assert_eq!((config.http.port, config.http.admin_port), (21, 12));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1");
    assert_eq!(config.bus.prefix, "swarm.v1");
}

#[test]
fn the_environment_reaches_every_kind_of_value() {
    let pairs = [
        ("BUILD_SWARM_RULES_LEASE", "20m"),
        ("BUILD_SWARM_RULES_MIN_FREE_DISK", "1GiB"),
        ("BUILD_SWARM_LOCAL_DRONES", "d1, d2"),
        ("BUILD_SWARM_EVENTS_JSON", "yes"),
        ("BUILD_SWARM_HTTP_PUBLIC_URL", "https://swarm.example.org/"),
        ("BUILD_SWARM_BUS_PREFIX", ""),
    ];
    let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let config = Config::from_sources(&Sources { environment, ..Sources::default() }).unwrap();
    assert_eq!(config.rules.lease, 1_200_000);
    assert_eq!(config.rules.min_free_disk, 1 << 30);
    assert_eq!(config.local_drones, ["d1", "d2"]);
    assert!(config.events.json);
    assert_eq!(config.public_url(), "https://swarm.example.org");
    assert_eq!(config.bus.prefix, "swarm.v1", "an empty variable is no value");
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    assert_eq!(errors("[http]\nprot = 1"), "controller.toml: there is no key http.prot; did you mean http.port?");
    assert_eq!(errors("datadir = 1"), "controller.toml: there is no key datadir; did you mean data_dir?");
    assert_eq!(errors("port = 1"), "controller.toml: there is no key port; did you mean http.port?");
    assert!(errors("[htpp]\nport = 1").starts_with("controller.toml: there is no key htpp; did you mean http."));
    assert_eq!(errors("qqqq = 1"), "controller.toml: there is no key qqqq");
    let environment = vec![("BUILD_SWARM_HTTP_PORTT".to_owned(), "1".to_owned())];
    let config = Config::from_sources(&Sources { environment, ..Sources::default() }).unwrap();
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
}

#[test]
fn local_drones_are_named_by_the_rule_all_others_are_named_by() {
    for name in ["d1", "a_b", "a.b", "9-9"] {
        assert_eq!(parse(&format!("local_drones = [{name:?}]")).unwrap().local_drones, [name]);
    }
    for name in ["-x", "_x", ".x", "", "a b", "a/b", &"x".repeat(64)] {
        let told = errors(&format!("local_drones = [{name:?}]"));
        assert_eq!(told, format!("local_drones: {name:?} is no name for a drone: {}", swarm_core::NAME_RULE));
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told = errors(
        "name = 7\nlocal_drones = [\"../up\"]\n[rules]\nlease = 600\nmin_free_disk = \"much\"\nheartbeat = \"1m\"\n\
         [http]\nport = 70000\nlisten = \"here\"\n[events]\njson = \"perhaps\"\n[log]\nlevel = \"loud\"",
    );
    for line in [
        "name: 7 is not text: put it in quotes",
        "rules.lease: 600 is not a duration such as \"90s\"",
        "rules.min_free_disk: \"much\" is not a size such as \"256MiB\"",
        "http.port: 70000 is not a whole number from 0 to 65535",
        "http.listen: \"here\" is not an IP address",
        "events.json: \"perhaps\" is neither true nor false",
        "log.level: \"loud\" is none of error, warn, info, debug, trace",
        "rules.offline_after must be at least two rules.heartbeat",
        "local_drones: \"../up\" is no name for a drone",
    ] {
        assert!(told.contains(line), "{line} is missing in\n{told}");
    }
    assert_eq!(told.lines().count(), 9, "{told}");
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_line() {
    let told = errors("a = 1\nb =");
    assert!(told.starts_with("controller.toml: ") && told.contains("line 2"), "{told}");
}

#[test]
fn a_file_that_is_not_there_is_told_with_its_path() {
    let told = Config::load(Some(Path::new("/nonexistent/controller.toml")), Vec::new()).unwrap_err().to_string();
    assert!(told.contains("/nonexistent/controller.toml"), "{told}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    assert!(errors("[http]\nport = 5\nadmin_port = 5").contains("are both 5"));
    assert!(errors("[bus]\nurl = \"nats://a\"\nport = 5").contains("drop one or the other"));
    assert!(errors("[bus]\nurl = \"nats://a\"\nlisten = \"0.0.0.0\"").contains("drop one or the other"));
    assert!(errors("[bus]\nca = \"/x.pem\"").contains("bus.url"));
    assert!(errors("[bus]\nnames = [\"a b\"]").contains("neither a host name nor an IP address"));
    assert!(errors("[bus]\npublic_url = \"swarm.example.org\"").contains("tls://swarm.example.org:4222"));
    assert!(errors("[events]\nreplicas = 3").contains("name a cluster in bus.url"));
    assert!(errors("[bus]\nurl = \"nats://a\"\n[events]\nreplicas = 7").contains("1 to 5"));
    assert!(errors("[bus]\nurl = \"nats://user:secret@a\"").contains("bus.credentials"));
    assert!(!errors("[bus]\nurl = \"nats://user:secret@a\"").contains("secret"), "a password is not repeated");
    assert!(errors("[rules]\nlease = \"5s\"").contains("rules.lease must not be shorter"));
    assert!(errors("[http]\npublic_url = \"swarm\"").contains("begins with http://"));
    assert!(errors("[healing]\nping_within = \"5s\"").contains("must be shorter than healing.ping_every"));
    let mail = "mail_server = \"m\"\nmail_from = \"a@b.c\"\nmail_to = [\"d@e.f\"]";
    for (lines, told) in [
        ("mail_server = \"m\"".to_owned(), "needs notify.mail_from"),
        ("mail_to = [\"d@e.f\"]".to_owned(), "without notify.mail_server"),
        (format!("{mail}\nmail_user = \"u\""), "belong together"),
        (
            format!("{mail}\nmail_user = \"u\"\nmail_password_file = \"/p\"\nmail_security = \"none\""),
            "the password in the clear",
        ),
        (mail.replace("d@e.f", "nobody"), "\"nobody\" is no address"),
        ("webhook_url = \"http://a\"\nwebhook_url_file = \"/u\"".to_owned(), "drop one"),
        ("webhook_token_file = \"/t\"".to_owned(), "without an address"),
    ] {
        let found = errors(&format!("[notify]\n{lines}"));
        assert!(found.contains(told), "{lines}: {found}");
    }
    let secret = errors("[notify]\nwebhook_url = \"https://user:secret@chat\"");
    assert!(secret.contains("webhook_token_file") && !secret.contains("secret@"), "{secret}");
    parse(&format!("[notify]\n{mail}")).unwrap();
    assert!(errors("[rules]\nprefetch = 65").contains("rules.prefetch is 65"));
    assert!(errors("[rules]\nsync_timeout = \"0s\"").contains("rules.sync_timeout"));
}

#[test]
fn durations_and_sizes_are_shown_as_they_are_written() {
    let text = example();
    for line in
        ["lease = \"10m\"", "instance_fresh = \"6s 500ms\"", "min_free_disk = \"10GiB\"", "build_log = \"64MiB\""]
    {
        assert!(text.contains(line), "{line}");
    }
}

#[test]
fn drones_elsewhere_are_told_an_address_they_can_reach_and_the_certificate_has_every_name() {
    let config = |text: &str| parse(text).unwrap();
    let loopback = config("[http]\npublic_url = \"http://swarm.example.org:8100\"");
    assert_eq!(loopback.bus_public_url(4222), None, "a bus that listens to this machine only is not for others");
    let open = config("[http]\npublic_url = \"http://swarm.example.org:8100\"\n[bus]\nlisten = \"0.0.0.0\"");
    assert_eq!(open.bus_public_url(4222).as_deref(), Some("tls://swarm.example.org:4222"));
    let six = config("[http]\npublic_url = \"http://[2001:db8::7]:8100\"\n[bus]\nlisten = \"::\"");
    assert_eq!(six.bus_public_url(4222).as_deref(), Some("tls://[2001:db8::7]:4222"));
    let named =
        config("[bus]\nlisten = \"192.0.2.7\"\npublic_url = \"tls://bus.example.org:4223\"\nnames = [\"10.0.0.7\"]");
    assert_eq!(named.bus_public_url(4222).as_deref(), Some("tls://bus.example.org:4223"));
    assert_eq!(named.bus_names(), ["10.0.0.7", "bus.example.org", "192.0.2.7"]);
    assert_eq!(config("").bus_names(), ["127.0.0.1"]);
}
