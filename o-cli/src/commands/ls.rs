//! `o ls`: the tree of the network.

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use o_address::{Address, PeerId, TransportAddr};
use o_core::CallError;
use o_node::{Place, TreeNode};
use serde_json::json;

use super::Context;
use crate::{
    cli::LsArgs,
    deadline::Deadline,
    exit::{Exit, Failure},
    network::{Client, Errand, with_client},
    output::{Output, Style, Table, visible},
};

/// How long a node may take to say where it stands.
const PLACE: Duration = Duration::from_secs(3);

/// Shows the tree, once or again and again.
pub(super) async fn run(args: LsArgs, context: Context<'_>) -> Result<(), Failure> {
    let settings = context.client_settings(&args.network)?;
    let timeout = args.timeout.unwrap_or(settings.call_timeout.value);
    let deadline = Deadline::of_first_answer(timeout);
    let done = with_client(
        &settings,
        &args.network,
        Errand {
            interrupt: &context.interrupt,
            deadline,
            target: args.address.as_ref(),
        },
        async |client| {
            let mut deadline = deadline;
            loop {
                let looked = deadline.during(look(client, &args)).await;
                match looked {
                    Ok(trees) => show(&trees, &args, context.output)?,
                    // What cannot be seen now may be seen again.
                    Err(failure) if args.watch => {
                        context.output.note(visible(&failure.message));
                    }
                    Err(failure) => return Err(failure),
                }
                if !args.watch {
                    return Ok(());
                }
                tokio::time::sleep(args.interval).await;
                deadline = Deadline::of_first_answer(timeout);
            }
        },
    )
    .await;
    match done {
        Err(failure) if args.watch && failure.exit == Exit::Interrupted => Ok(()),
        done => done,
    }
}

/// The trees that can be seen, each with its nodes in order.
async fn look(client: &Client, args: &LsArgs) -> Result<Vec<Vec<TreeNode>>, Failure> {
    if let Some(address) = &args.address {
        let asked = match client.peer() {
            Some((peer, _)) if address.is_node() => address.pinned(*peer),
            _ => address.clone(),
        };
        return Ok(vec![client.node().tree_below(&asked, args.depth).await?]);
    }
    let mut trees = Vec::new();
    let mut failed = None;
    for root in roots(client).await? {
        match below(client, &root, args.depth).await {
            Ok(tree) => trees.push(tree),
            Err(failure) => failed = Some(failure),
        }
    }
    match failed.filter(|_| trees.is_empty()) {
        Some(failure) => Err(failure),
        None => Ok(trees),
    }
}

/// The top of a tree, and where it is.
struct Root {
    name: Address,
    peer: PeerId,
    addresses: Vec<TransportAddr>,
    /// Who said so, should the top itself be silent.
    told_by: PeerId,
}

async fn below(client: &Client, root: &Root, depth: u8) -> Result<Vec<TreeNode>, Failure> {
    let node = client.node();
    let mut failure = None;
    if root.peer != root.told_by {
        for address in &root.addresses {
            match node.connect(&address.with_peer(&root.peer)).await {
                Ok(_) => break,
                Err(error) => failure = Some(Failure::from(error)),
            }
        }
    }
    let top = Address::node().pinned(root.peer);
    match node.tree_below(&top, depth).await {
        Ok(tree) => Ok(tree),
        // Without its leader the tree is seen from where somebody answers.
        Err(_) if root.peer != root.told_by => {
            let told_by = Address::node().pinned(root.told_by);
            let asked = node.tree_below(&told_by, depth).await;
            asked.map_err(|error| failure.unwrap_or_else(|| error.into()))
        }
        Err(error) => Err(error.into()),
    }
}

/// The tops of the trees to which the nodes belong that can be asked.
async fn roots(client: &Client) -> Result<Vec<Root>, Failure> {
    let node = client.node();
    let asked: Vec<(PeerId, TransportAddr)> = match client.peer() {
        Some(peer) => vec![peer.clone()],
        None => {
            let ways = client.bootstrap().iter();
            ways.filter_map(|at| Some((at.peer_id()?, at.clone())))
                .collect()
        }
    };
    let places = asked.into_iter().map(|(peer, at)| async move {
        let asking = async {
            node.connect(&at).await.map_err(Failure::from)?;
            let place = node.place_of(&Address::node().pinned(peer)).await?;
            Ok::<Place, Failure>(place)
        };
        let timed_out = || CallError::TimedOut { after: PLACE }.into();
        tokio::time::timeout(PLACE, asking)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    });
    let mut places: FuturesUnordered<_> = places.collect();
    let mut roots: HashMap<PeerId, Root> = HashMap::new();
    let mut failed = None;
    while let Some(place) = places.next().await {
        let place = match place {
            Ok(place) => place,
            Err(failure) => {
                failed.get_or_insert(failure);
                continue;
            }
        };
        let (name, peer, addresses) = match place.above.last() {
            Some(leader) => (&leader.name, leader.peer, leader.addresses.clone()),
            None => (&place.name, place.peer, Vec::new()),
        };
        let root = Root {
            name: name.clone(),
            peer,
            addresses,
            told_by: place.peer,
        };
        // The top's own word is better than anybody's about it.
        if place.peer == peer || !roots.contains_key(&peer) {
            roots.insert(peer, root);
        }
    }
    let mut roots: Vec<Root> = roots.into_values().collect();
    roots.sort_by(|one, other| one.name.cmp(&other.name));
    match failed.filter(|_| roots.is_empty()) {
        Some(failure) => Err(failure),
        None if roots.is_empty() => Err(Failure::no_network()),
        None => Ok(roots),
    }
}

fn show(trees: &[Vec<TreeNode>], args: &LsArgs, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        for node in trees.iter().flatten() {
            output.value(&json!({
                "address": node.name,
                "peer_id": node.peer,
                "parent": node.parent,
                "heard_ms": node.heard_ms,
                "since_ms": node.since_ms,
                "silent": node.silent,
            }))?;
        }
        let nodes: usize = trees.iter().map(Vec::len).sum();
        return match args.watch {
            true => output.value(&json!({ "event": "looked", "nodes": nodes })),
            false => Ok(()),
        };
    }
    if args.watch && output.columns().is_some() {
        // Home, and nothing below it.
        output.bytes(b"\x1b[H\x1b[2J")?;
    }
    let mut table = Table::new(&["NODE", "PEER", "HEARD", "UP"]);
    for tree in trees {
        for (node, name) in tree.iter().zip(drawn(tree)) {
            let silent = if node.silent { " ?" } else { "" };
            let heard = match node.parent {
                None => "-".to_owned(),
                Some(_) => seconds(node.heard_ms),
            };
            let cells = [
                format!("{name}{silent}"),
                node.peer.short().to_string(),
                heard,
                seconds(node.since_ms),
            ];
            table.row(cells);
        }
    }
    output.table(&table)?;
    if trees.iter().flatten().any(|node| node.silent) {
        let mark = output.paint(Style::Bold, "?");
        output.line(format_args!("{mark} did not say who is below it"))?;
    }
    Ok(())
}

/// The nodes of a tree, a line each.
pub(crate) fn drawn(tree: &[TreeNode]) -> Vec<String> {
    let lines = tree.iter().zip(leads(tree)).map(|(node, lead)| {
        let name = match node.parent {
            None => node.name.to_string(),
            Some(_) => short(node, tree),
        };
        format!("{lead}{name}")
    });
    lines.collect()
}

/// The name of a node as far as its parent's does not say it already.
fn short(node: &TreeNode, tree: &[TreeNode]) -> String {
    let parent = tree.iter().find(|other| Some(other.peer) == node.parent);
    let rest = parent.and_then(|parent| node.name.name().strip_prefix(parent.name.name()));
    rest.map_or_else(|| node.name.to_string(), str::to_owned)
}

fn seconds(millis: u64) -> String {
    match millis / 1000 {
        s @ 0..60 => format!("{}.{}s", s, millis % 1000 / 100),
        s @ 60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        s => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
    }
}

/// The lines that lead to each node from the one above it.
fn leads(tree: &[TreeNode]) -> Vec<String> {
    let mut leads: Vec<String> = Vec::with_capacity(tree.len());
    // For each key, what stands before those below it.
    let mut below: HashMap<PeerId, String> = HashMap::new();
    for (at, node) in tree.iter().enumerate() {
        let Some(parent) = node.parent else {
            below.insert(node.peer, String::new());
            leads.push(String::new());
            continue;
        };
        let before = below.get(&parent).cloned().unwrap_or_default();
        let later = tree.get(at + 1..).unwrap_or_default();
        let last = !later.iter().any(|other| other.parent == Some(parent));
        let (own, further) = match last {
            true => ("└ ", "  "),
            false => ("├ ", "│ "),
        };
        below.insert(node.peer, format!("{before}{further}"));
        leads.push(format!("{before}{own}"));
    }
    leads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, seed: &str, parent: Option<&str>) -> TreeNode {
        let peer = |seed: &str| o_node::Keypair::from_seed(seed).peer_id();
        let node = json!({
            "name": name,
            "peer": peer(seed),
            "parent": parent.map(peer),
        });
        serde_json::from_value(node).unwrap()
    }

    #[test]
    fn a_tree_is_drawn_with_lines() {
        let tree = [
            node("o://a", "a", None),
            node("o://a/b", "b", Some("a")),
            node("o://a/b/x", "x", Some("b")),
            node("o://a/b/y", "y", Some("b")),
            node("o://a/c", "c", Some("a")),
            node("o://a/c/z", "z", Some("c")),
        ];
        assert_eq!(
            drawn(&tree),
            ["o://a", "├ /b", "│ ├ /x", "│ └ /y", "└ /c", "  └ /z"]
        );
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            [0, 59_900, 60_000, 3_725_000].map(seconds),
            ["0.0s", "59.9s", "1m00s", "1h02m"]
        );
    }
}
