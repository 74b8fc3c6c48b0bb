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
