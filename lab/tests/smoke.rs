//! The shortest runs of the programs, so that they keep working.

use std::time::Duration;

use o_lab::{
    scenario::{self, Size},
    soak::{self, Config},
};

/// No run here may take longer, on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(170);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_finds_nothing() {
    let config = Config {
        nodes: 4,
        length: Duration::from_secs(2),
        seed: 1,
        calls_per_second: 20,
        dht_only: false,
    };
    let report = tokio::time::timeout(LIMIT, soak::run(config))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(report.failures(), [""; 0], "{}", report.json());
    let counts = &report.counts;
    let errors: u64 = counts.errors.values().sum();
    // Every call that began has ended, each once.
    assert_eq!(counts.begun, counts.replied + counts.cancelled + errors);
    assert!(counts.replied > 0 && report.stops > 0 && report.splits > 0);
    assert!(report.healed_in.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experiment_writes_figures_and_a_plot() {
    let directory = tempfile::tempdir().unwrap();
    let size = Size {
        nodes: vec![3],
        rounds: 1,
        quick: true,
    };
    let running = scenario::run("gone", &size, directory.path());
    let files = tokio::time::timeout(LIMIT, running).await.unwrap().unwrap();
    let [figures, plot] = files.map(|file| std::fs::read_to_string(file).unwrap());
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    assert_eq!(figures["measured"].as_array().map(Vec::len), Some(4));
    assert!(plot.starts_with("<svg") && plot.contains("<circle"));
}

#[tokio::test]
async fn an_unknown_experiment_is_an_error() {
    let unknown = scenario::run("nothing", &Size::default(), "nowhere".as_ref()).await;
    assert!(unknown.unwrap_err().to_string().contains("`nothing`"));
}

/// Runs an experiment as its users do, only shorter; its figures.
#[expect(clippy::unwrap_used, reason = "the helper of tests may panic")]
async fn quick(name: &str, nodes: &str) -> serde_json::Value {
    let directory = tempfile::tempdir().unwrap();
    let running = tokio::process::Command::new(env!("CARGO_BIN_EXE_scenario"))
        .args([
            name,
            "--quick",
            "--rounds",
            "1",
            "--nodes",
            nodes,
            "--directory",
        ])
        .arg(directory.path())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, running).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);
    let [figures, plot] = ["json", "svg"].map(|kind| {
        let file = directory.path().join(format!("{name}.{kind}"));
        std::fs::read_to_string(file).unwrap()
    });
    assert!(plot.starts_with("<svg") && plot.contains("<polyline"));
    serde_json::from_str(&figures).unwrap()
}

#[tokio::test]
async fn the_swarm_is_known_and_forgotten() {
    let figures = quick("swarm", "4").await;
    let measured = figures["measured"].as_array().unwrap();
    assert_eq!(measured.len(), 4);
    for times in measured {
        let all = times["by_nodes"][0]["all_ms"].as_array();
        assert!(all.is_some_and(|all| !all.is_empty()), "{times}");
    }
    assert_eq!(figures["churn"][0]["replaced"], 2);
}

#[expect(
    clippy::print_stderr,
    reason = "a test that cannot check anything says so"
)]
#[tokio::test]
async fn on_a_local_network_a_swarm_finds_itself() {
    let made = tokio::process::Command::new("unshare")
        .args(["--map-root-user", "--net", "ip", "link", "add", "left"])
        .args(["type", "veth", "peer", "name", "right"])
        .status();
    if !made.await.is_ok_and(|status| status.success()) {
        let required = std::env::var_os("O_NAMESPACES").is_some();
        assert!(!required, "no network namespace can be made");
        eprintln!("nothing checked: no network namespace can be made here");
        return;
    }
    let figures = quick("lan", "4").await;
    assert_eq!(figures["measured"].as_array().map(Vec::len), Some(4));
    assert_eq!(figures["churn"][0]["replaced"], 2);
}

#[tokio::test]
async fn the_tree_outlives_its_leader() {
    let figures = quick("leader", "4").await;
    let row = &figures["by_children"][0];
    assert_eq!((&row["children"], &row["failed"]), (&4.into(), &0.into()));
    assert!(row["answered"].as_u64() > Some(0), "{row}");
}

#[tokio::test]
async fn the_table_finds_whom_it_was_told_of() {
    let figures = quick("table", "12").await;
    let size = &figures["sizes"][0];
    for kind in ["at_rest", "under_churn"] {
        let found = size[kind]["found_percent"].as_f64();
        assert!(found.is_some_and(|percent| percent >= 99.0), "{size}");
    }
}

#[tokio::test]
async fn a_capability_is_found_among_sybils() {
    let figures = quick("sybil", "8").await;
    for case in figures["cases"].as_array().unwrap() {
        for row in case["rows"].as_array().unwrap() {
            let found = row["found_percent"].as_f64();
            let sure = case["name"].as_str().unwrap().starts_with("four");
            let least = if sure { 99.0 } else { 50.0 };
            assert!(found.is_some_and(|percent| percent >= least), "{case}");
        }
    }
}

#[tokio::test]
async fn forged_records_are_refused_and_their_sender_is_named() {
    let figures = quick("forged", "3").await;
    for attack in figures["attacks"].as_array().unwrap() {
        assert_eq!(attack["honest_calls_failed"], 0, "{attack}");
        assert_eq!(attack["log_lines_that_name_the_attacker"], 1, "{attack}");
    }
}

#[tokio::test]
async fn calls_go_to_those_who_answer() {
    let figures = quick("balance", "10").await;
    for row in figures["rows"].as_array().unwrap() {
        assert_eq!(row["lost"], 0, "{row}");
    }
}
