//! A few of what are thousands in `cargo xtask bench --connections`.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

#[test]
fn a_few_connections_are_made_called_over_and_closed() {
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_o-bench"));
        command.args(["--workers", "2"]);
        command
    };
    let serving = program()
        .args(["serve-many", "20"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut server = serving.unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(server.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let held = program()
        .arg("hold")
        .args(line.split_whitespace())
        .args(["--connections", "20", "--seconds", "0.3", "--every", "0.1"])
        .output()
        .unwrap();
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
    assert!(held.status.success(), "{held:?}");
    let found: serde_json::Value = serde_json::from_slice(&held.stdout).unwrap();
    assert_eq!(found["connections"], 20);
    // Twenty first calls, three of each now and then, and many more.
    assert!(found["calls"].as_u64().unwrap() > 80, "{found}");
    assert!(found["busy_per_second"].as_f64().unwrap() > 0.0, "{found}");
}
