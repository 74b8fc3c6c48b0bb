//! Two processes on one local network, in a network namespace that the test makes.
//!
//! Multicast must not leave the test. The outer test runs this same test binary in a new network
//! namespace that holds nothing but a pair of virtual interfaces; there two processes find each
//! other. It needs root, `unshare` and `ip`; without them it says so and checks
//! nothing, unless O_NAMESPACES is set: then it fails, as in `cargo xtask lab`.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{Swarm, identity::Keypair, swarm::SwarmEvent};
use o_core::{Discovery, Query, Source};
use o_discovery::swarm::mdns::{self, MdnsConfig};
use tokio::time::timeout;

use crate::support::{DEADLINE, swarm};

/// Set for the processes within the namespace.
const ROLE: &str = "O_DISCOVERY_MDNS_ROLE";

/// What the namespaces are made with.
const UNSHARE: [&str; 4] = ["--net", "--pid", "--fork", "--kill-child"];

/// Makes the interfaces, runs the node that is sought, and then the one that seeks. It is the first
/// process of a process namespace too: whatever it started is gone when it ends.
const NAMESPACE: &str = r#"
set -e
ip link add name left type veth peer name right
ip addr add 10.77.0.1/24 dev left
ip link set lo up
ip link set left up
ip link set right up
run() { O_DISCOVERY_MDNS_ROLE=$1 "$TEST_BINARY" --exact mdns::inside --ignored --nocapture; }
mkfifo "$SCRATCH/ready"
run sought > "$SCRATCH/ready" &
while read -r line; do case "$line" in *"sought is "*) echo "$line"; break;; esac; done \
  < "$SCRATCH/ready"
SOUGHT="${line##* }" run seeker
"#;

#[test]
fn two_processes_on_one_network_find_each_other() {
    if let Some(missing) = missing() {
        let required = std::env::var_os("O_NAMESPACES").is_some();
        assert!(!required, "no network namespace: {missing}");
        let mut loud = std::io::stderr();
        writeln!(loud, "SKIPPED: mDNS is NOT tested here: {missing}").expect("stderr");
        return;
    }
    let scratch = std::env::temp_dir().join(format!("o-mdns-{}", std::process::id()));
    fs::create_dir_all(&scratch).expect("a scratch directory");
    let output = Command::new("timeout")
        .args(["60", "unshare"])
        .args(UNSHARE)
        .args(["sh", "-c", NAMESPACE])
        .env(
            "TEST_BINARY",
            std::env::current_exe().expect("the test binary"),
        )
        .env("SCRATCH", &scratch)
        .stdin(Stdio::null())
        .output()
        .expect("unshare");
    fs::remove_dir_all(&scratch).expect("the scratch directory goes");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("seeker found it"), "{out}\n{err}");
}

/// What keeps the test from running, if anything does.
fn missing() -> Option<&'static str> {
    let in_namespace: Vec<&str> = UNSHARE
        .into_iter()
        .chain([
            "ip", "link", "add", "name", "left", "type", "veth", "peer", "name", "right",
        ])
        .collect();
    let works = |program: &str, arguments: &[&str]| {
        let quiet = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        quiet.is_ok_and(|status| status.success())
    };
    if !works("ip", &["-Version"]) {
        Some("`ip` (iproute2) is missing")
    } else if !works("timeout", &["1", "true"]) {
        Some("`timeout` (coreutils) is missing")
    } else if !works("unshare", &in_namespace) {
        Some("no network namespace with a veth pair can be made: is this root?")
    } else {
        None
    }
}

#[tokio::test]
#[ignore = "runs only within the namespace that the other test makes"]
async fn inside() {
    let role = std::env::var(ROLE).expect("not within the namespace of the test");
    let keys = Keypair::generate_ed25519();
    let peer = keys.public().to_peer_id();
    let mut config = MdnsConfig::default();
    config.enabled = true;
    config.query_interval = Duration::from_secs(1);
    config.settle_time = DEADLINE;
    let behaviour = mdns::behaviour(peer, &config)
        .expect("interfaces")
        .expect("enabled");
    let (state, handle) = mdns::channel(config, Instant::now());
    let mut swarm = swarm(&keys, behaviour);
    swarm
        .listen_on("/ip4/10.77.0.1/tcp/0".parse().expect("an address"))
        .expect("listening");

    match role.as_str() {
        "sought" => {
            // The line tells the script that this node is there; it is killed at the end.
            say(&format!("sought is {peer}"));
            run(swarm, state).await;
        }
        "seeker" => {
            let sought = std::env::var("SOUGHT").expect("who is sought");
            let pinned = format!("o://a#{sought}").parse().expect("an address");
            let mut search = handle.find(Query::Name(pinned));
            let found = tokio::select! {
                found = timeout(DEADLINE, search.next()) => found,
                () = run(swarm, state) => unreachable!("it runs for ever"),
            };
            let hint = found
                .expect("in time")
                .expect("somebody")
                .expect("no error");
            assert_eq!(hint.peer.to_string(), sought);
            assert_eq!(hint.sources, [Source::Mdns]);
            assert!(!hint.confirmed);
            let address = hint.addresses.first().expect("an address").to_string();
            assert!(address.starts_with("/ip4/10.77.0.1/tcp/"), "{address}");
            assert!(address.ends_with(&sought), "{address}");
            say("seeker found it");
        }
        other => panic!("no such role: {other}"),
    }
}

async fn run(mut swarm: Swarm<mdns::Behaviour>, mut state: mdns::State) {
    loop {
        if let SwarmEvent::Behaviour(event) = swarm.select_next_some().await {
            state.on_event(event);
        }
    }
}

/// A line for the script. It must pass the capture of test output, so it is no `println!`.
fn say(text: &str) {
    let written = writeln!(std::io::stdout(), "{text}");
    assert!(written.is_ok(), "{written:?}");
}
