//! Which source wins.

use std::collections::HashMap;

use super::*;

const PEER: &str = "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo";

fn environment(pairs: &[(&str, &str)]) -> Layer {
    let map: HashMap<_, _> = pairs.iter().copied().collect();
    environment::layer(|name| map.get(name).map(|value| (*value).to_owned())).unwrap()
}

fn resolve(flags: Layer, pairs: &[(&str, &str)], toml: &str, role: Role) -> Settings {
    let (file, node) = file::parse(toml).unwrap();
    Settings::resolve(flags, environment(pairs), file, node, role).unwrap()
}

#[test]
fn flags_win_over_environment_over_file_over_preset() {
    let toml = "network = 'file'\nmax_connections = 7";
    let by_flag = Layer {
        network: Some("flag".parse().unwrap()),
        ..Layer::default()
    };
    let pairs = [("O_NETWORK", "env")];
    let cases = [
        (by_flag, &pairs[..], toml, "flag", Origin::Flag),
        (Layer::default(), &pairs, toml, "env", Origin::Environment),
        (Layer::default(), &[], toml, "file", Origin::File),
        (
            Layer::default(),
            &[("O_NETWORK", "")],
            "",
            "main",
            Origin::Preset,
        ),
    ];
    for (flags, pairs, toml, value, origin) in cases {
        let settings = resolve(flags, pairs, toml, Role::Server);
        assert_eq!(settings.network.value.as_str(), value);
        assert_eq!(settings.network.origin, origin);
        assert_eq!(settings.node.network.as_str(), value);
    }
    let settings = resolve(Layer::default(), &[], toml, Role::Server);
    assert_eq!(settings.node.limits.max_connections, 7);
    assert_eq!(settings.node.limits.max_inbound, 7);
}

#[test]
fn every_default_of_the_node_can_be_overridden() {
    let toml =
        "[node.limits]\nmax_per_ip = 3\n[node.node]\ndrain = '7s'\n[node.session]\nmax_calls = 9";
    let settings = resolve(Layer::default(), &[], toml, Role::Server);
    assert_eq!(settings.node.limits.max_per_ip, 3);
    assert_eq!(settings.node.node.drain, Duration::from_secs(7));
    assert_eq!(settings.node.session.max_calls, 9);
    let rows = rows(&settings).unwrap();
    let origin = |name: &str| rows.iter().find(|row| row.name == name).unwrap().origin;
    assert_eq!(origin("node.limits.max_per_ip"), Origin::File);
    assert_eq!(origin("node.limits.max_per_peer"), Origin::Preset);
}

#[test]
fn the_short_name_wins_over_the_long_one() {
    let toml = "network = 'short'\n[node]\nnetwork = 'long'\nlisten = ['/ip4/127.0.0.1/tcp/1']";
    let settings = resolve(Layer::default(), &[], toml, Role::Server);
    assert_eq!(settings.node.network.as_str(), "short");
    assert_eq!(settings.listen.value.len(), 1);
    assert_eq!(settings.listen.origin, Origin::File);
}

#[test]
fn typos_are_errors() {
    let failure = file::parse("netwrok = 'x'").unwrap_err();
    assert!(failure.message.contains("netwrok"), "{}", failure.message);
    let (file, node) = file::parse("[node.limits]\nmax_conections = 1").unwrap();
    let failure = Settings::resolve(Layer::default(), Layer::default(), file, node, Role::Server)
        .unwrap_err();
    assert!(
        failure.message.contains("max_conections"),
        "{}",
        failure.message
    );
    assert_eq!(failure.exit as u8, 2);
    let failure = environment::layer(|_| Some("/not an address".into())).unwrap_err();
    assert!(failure.message.starts_with("O_"), "{}", failure.message);
}

#[test]
fn a_stronger_source_replaces_the_other_list_too() {
    let toml = format!("deny = ['{PEER}']\nseed = 's'");
    let settings = resolve(Layer::default(), &[("O_ALLOW", PEER)], &toml, Role::Server);
    assert_eq!(
        settings.peers.value,
        PeerList::Allow(vec![PEER.parse().unwrap()])
    );
    assert!(matches!(settings.key.value, Some(KeySource::Seed(_))));
    assert!(file::parse(&format!("allow = ['{PEER}']\ndeny = ['{PEER}']")).is_err());
}

#[test]
fn a_client_takes_no_key_from_the_configuration() {
    let toml = "key = '/tmp/server.key'";
    let settings = resolve(Layer::default(), &[("O_SEED", "x")], toml, Role::Client);
    assert!(settings.key.value.is_none());
    let flags = Layer {
        key: Some(KeySource::File("mine.key".into())),
        ..Layer::default()
    };
    let settings = resolve(flags, &[], toml, Role::Client);
    assert_eq!(settings.key.value, Some(KeySource::File("mine.key".into())));
}

#[test]
fn lists_in_the_environment_are_separated_by_commas_or_spaces() {
    let addresses = "/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2 /ip4/127.0.0.1/tcp/3";
    let settings = resolve(
        Layer::default(),
        &[("O_LISTEN", addresses)],
        "",
        Role::Server,
    );
    assert_eq!(settings.listen.value.len(), 3);
}

#[test]
fn a_seed_is_not_shown() {
    let settings = resolve(Layer::default(), &[("O_SEED", "s3cret")], "", Role::Server);
    let shown = format!("{:?} {settings:?}", rows(&settings).unwrap());
    assert!(!shown.contains("s3cret"));
}

#[test]
fn times_and_limits_of_programs_come_from_the_file() {
    let toml = "[timeouts]\ncall = '9s'\nfind = '1s'\n[exec]\nmax_running = 2\nkill_after = '5s'";
    let settings = resolve(Layer::default(), &[], toml, Role::Server);
    assert_eq!(settings.call_timeout.value, Duration::from_secs(9));
    assert_eq!(settings.find_timeout.value, Duration::from_secs(1));
    assert_eq!(settings.exec.max_running.value, 2);
    assert_eq!(settings.exec.kill_after.value, Duration::from_secs(5));
    assert_eq!(settings.exec.max_queued.value, 64);
}

fn refused(toml: &str) -> String {
    let settings = file::parse(toml).and_then(|(file, node)| {
        Settings::resolve(Layer::default(), Layer::default(), file, node, Role::Server)
    });
    let failure = settings.unwrap_err();
    assert_eq!(failure.exit as u8, 2, "{toml}");
    failure.message
}

#[test]
fn a_bad_value_is_named_with_a_good_one() {
    let cases = [
        ("max_connections = 'many'", "\"many\"", "for example 16"),
        ("max_connections = 0", "`0`", "from 1 up, for example 16"),
        ("exec.max_running = 0", "`0`", "from 1 up, for example 16"),
        ("exec.max_queued = -1", "`-1`", "for example 64"),
        (
            "exec.max_value = '16 MiB'",
            "\"16 MiB\"",
            "for example 65536",
        ),
        ("exec.kill_after = 2", "`2`", "for example \"1m 30s\""),
        (
            "timeouts.call = 'soon'",
            "\"soon\"",
            "for example 500ms, 30s",
        ),
        ("timeouts.find = '999y'", "\"999y\"", "at most 365 days"),
        ("exec.kill_after = '366d'", "\"366d\"", "at most 365 days"),
        // The node's own fields have their defaults as examples.
        (
            "node.node.drain = 'x'",
            "node.node.drain: invalid value: string \"x\"",
            "; for example \"5s\"",
        ),
        (
            "network = 'a'\n[node.limits]\nmax_per_peer = 2\nmax_per_ip = '4k'",
            "node.limits.max_per_ip: invalid type: string \"4k\"",
            "; for example 256",
        ),
    ];
    for (toml, value, good) in cases {
        let message = refused(toml);
        assert!(
            message.contains(value) && message.contains(good),
            "{message}"
        );
    }
    let of = |name: &str, value: &str| {
        let layer = environment::layer(|asked| (asked == name).then(|| value.to_owned()));
        layer.unwrap_err().message
    };
    assert_eq!(
        of("O_MAX_CONNECTIONS", "x"),
        "O_MAX_CONNECTIONS: \"x\": write a whole number from 1 up, for example 512"
    );
    assert_eq!(
        of("O_TIMEOUT", "999y"),
        "O_TIMEOUT: \"999y\": at most 365 days, for example 24h"
    );
    assert_eq!(
        of("O_UNIX_PLAINTEXT", "yes"),
        "O_UNIX_PLAINTEXT: \"yes\": write true or false"
    );
}

#[test]
fn a_long_value_is_not_repeated() {
    let long = "x".repeat(900_000);
    for toml in [
        format!("network = '{long}'"),
        format!("{long} = 1"),
        format!("max_connections = '{long}'"),
        format!("timeouts.call = '{long}'"),
        format!("listen = ['/{long}']"),
        format!("node.{long} = 1"),
        format!("node.{long}.x = 1"),
        format!("node.node.drain = '{long}'"),
        format!("# {long}\n{long}"),
    ] {
        let message = refused(&toml);
        let longest = message.split(|c| c != 'x').map(str::len).max();
        assert!(longest.is_some_and(|x| x <= 80), "{message}");
        assert!(message.chars().count() < 1800, "{message}");
    }
    let layer = environment::layer(|_| Some(long.clone()));
    assert!(layer.unwrap_err().message.chars().count() < 300);
}
