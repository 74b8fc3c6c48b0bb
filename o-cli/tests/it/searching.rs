//! `o find` by attributes and by words.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::User;

#[expect(clippy::unwrap_used, reason = "the helper of tests may panic")]
fn names(found: &[Value]) -> BTreeSet<String> {
    let names = found.iter().map(|line| line["address"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn attributes_select_and_points_rank() {
    let user = User::new();
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0"];
    let german = [
        "o://shop/german",
        "--label",
        "lang=de",
        "--label",
        "tier=gold",
    ];
    let german = user.serve(&[&german[..], &listen].concat()).await;
    let at = german.at("/tcp/").to_owned();
    let through = ["--bootstrap", at.as_str()];
    let serve = async |name: &str, label: &str| {
        let agent = [name, "--label", label];
        user.serve(&[&agent[..], &listen, &through].concat()).await
    };
    let _english = serve("o://shop/english", "lang=en").await;
    let _french = serve("o://mill/french", "lang=fr").await;

    let find = async |options: &[&str]| -> Vec<Value> {
        let search = [&["find", "--json"], options, &through].concat();
        let outcome = user.run(&search).await;
        let lines = outcome.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    // Everybody has been heard of.
    while find(&["--any", "label:lang=*"]).await.len() < 3 {}
    let either = ["--any", "label:lang=de", "--any", "label:lang=en"];
    let expected = ["o://shop/german", "o://shop/english"].map(str::to_owned);
    assert_eq!(names(&find(&either).await), BTreeSet::from(expected));
    let points = [
        "--any",
        "label:lang=*",
        "--any",
        "label:tier=gold^2",
        "--min-score",
    ];
    let found = find(&[&points[..], &["3"]].concat()).await;
    assert_eq!(
        names(&found),
        BTreeSet::from(["o://shop/german".to_owned()])
    );
    let why = found[0]["why"].to_string();
    assert!(why.contains("tier=gold"), "{found:?}");
    let found = find(&[&points[..], &["1"]].concat()).await;
    assert_eq!(found.len(), 3, "{found:?}");
    let all = ["--all", "below:o://shop", "--all", "label:lang=en"];
    let expected = BTreeSet::from(["o://shop/english".to_owned()]);
    assert_eq!(names(&find(&all).await), expected);
    // Nobody has both.
    let outcome = user
        .run(
            &[
                &["find", "--all", "label:lang=en", "--all", "label:tier=gold"],
                &through[..],
            ]
            .concat(),
        )
        .await;
    assert_eq!(outcome.code(), 3, "{outcome:?}");
}
