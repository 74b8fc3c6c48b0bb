//! In which order crates can be published.

use std::collections::BTreeSet;

use super::Crate;

/// The crates so that each comes after what it needs, and what waits for itself.
pub(super) fn order(crates: &[Crate]) -> (Vec<String>, Vec<String>) {
    let published = crates.iter().filter(|c| !c.is_ours_alone());
    let mut left: Vec<Crate> = published.cloned().collect();
    let (mut order, mut stuck) = (Vec::new(), Vec::new());
    while !left.is_empty() {
        let is_left = |on: &str| left.iter().any(|other| other.name == on);
        if let Some(at) = left.iter().position(|c| !c.waits_for().any(is_left)) {
            order.push(left.remove(at).name);
        } else if let Some((at, on)) = circular_test(&left) {
            let name = &left[at].name;
            stuck.push(format!(
                "{on} needs {name}, whose tests need {on}: name {on} by path alone, without a version"
            ));
            left[at].needs.retain(|edge| !(edge.dev && edge.on == on));
        } else {
            let names: Vec<&str> = left.iter().map(|c| c.name.as_str()).collect();
            stuck.push(format!("they need each other: {}", names.join(", ")));
            break;
        }
    }
    (order, stuck)
}

/// A crate, by its place, and what its tests need that needs it in turn.
fn circular_test(left: &[Crate]) -> Option<(usize, String)> {
    left.iter().enumerate().find_map(|(at, c)| {
        let tests = c.needs.iter().filter(|edge| edge.dev && edge.version);
        let mut circular = tests.filter(|edge| reaches(left, &edge.on, &c.name));
        Some((at, circular.next()?.on.clone()))
    })
}

fn reaches(crates: &[Crate], from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        let found = crates.iter().filter(|c| c.name == name);
        open.extend(
            found
                .flat_map(Crate::waits_for)
                .filter(|on| seen.insert(on)),
        );
    }
    seen.contains(to)
}
