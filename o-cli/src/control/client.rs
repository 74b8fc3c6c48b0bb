//! The end of the control socket that asks.

use std::{io, path::Path};

use o_address::{Address, PeerId};
use o_core::NetworkId;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{MAX_ANSWER, PATIENCE, Request, server::socket};
use crate::{
    exit::Failure,
    runtime_dir::{self, RunningNode},
};

/// Asks a running node of this user: the one with this address or peer id, or the only one.
///
/// # Errors
/// No such node runs, several do, or it does not answer.
pub(crate) async fn ask(
    which: Option<&str>,
    network: &NetworkId,
    request: Request,
) -> Result<Vec<Value>, Failure> {
    let nodes = runtime_dir::running(network)?;
    let node = choose(&nodes, which)?;
    let path = runtime_dir::directory().join(format!("{}.sock", node.peer_id));
    let asking = tokio::time::timeout(PATIENCE, exchange(&path, request));
    let answer = asking
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let unanswered = |error: io::Error| {
        let failure = Failure::unreachable(format!("{} does not answer: {error}", node.address));
        failure.hint("it may be of an older version, or about to end")
    };
    let lines = answer.map_err(unanswered)?;
    let lines: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
    lines.map_err(|error| Failure::internal(format!("the answer is no JSON: {error}")))
}

/// The node that is meant.
fn choose<'a>(nodes: &'a [RunningNode], which: Option<&str>) -> Result<&'a RunningNode, Failure> {
    let Some(which) = which else {
        return match nodes {
            [node] => Ok(node),
            [] => Err(Failure::not_found("no node of this user runs here")
                .hint("start one with `o serve`, or name its network with --network")),
            several => {
                let names: Vec<_> = several.iter().map(|node| node.address.as_str()).collect();
                let failure = Failure::usage(format!("{} nodes run here", several.len()));
                Err(failure.hint(format!("say which: {}", names.join(", "))))
            }
        };
    };
    let (address, peer) = (which.parse::<Address>(), which.parse::<PeerId>());
    if address.is_err() && peer.is_err() {
        return Err(Failure::usage(format!(
            "{which:?} is no address and no peer id"
        )));
    }
    let is_meant = |node: &&RunningNode| {
        let same = |address: &Address| {
            address.name() == node.address.name()
                && address.pin().is_none_or(|pin| pin == node.peer_id)
        };
        address.as_ref().is_ok_and(same) || peer.as_ref().is_ok_and(|peer| *peer == node.peer_id)
    };
    let mut meant = nodes.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(node), None) => Ok(node),
        (Some(_), Some(_)) => Err(Failure::usage(format!("several nodes serve {which} here"))
            .hint("give the peer id of one of them")),
        (None, _) => Err(Failure::not_found(format!(
            "no node of this user serves {which} here"
        ))),
    }
}

async fn exchange(path: &Path, request: Request) -> io::Result<String> {
    let mut stream = socket::connect(path).await?;
    if !socket::is_own(&stream) {
        let message = "another user answers there";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn node(address: &str, seed: &str) -> RunningNode {
        RunningNode {
            pid: 1,
            address: address.parse().unwrap(),
            peer_id: o_node::Keypair::from_seed(seed).peer_id(),
            network: NetworkId::default(),
            listen: Vec::new(),
        }
    }

    #[test]
    fn the_node_that_is_meant_is_chosen_and_none_is_guessed() {
        let [a, b, other] = [node("o://a", "1"), node("o://b", "2"), node("o://b", "3")];
        let exit = |nodes: &[RunningNode], which| choose(nodes, which).unwrap_err().exit;
        assert_eq!(choose(std::slice::from_ref(&a), None).unwrap(), &a);
        let nodes = [a.clone(), b.clone(), other];
        assert_eq!(choose(&nodes, Some("o://a")).unwrap(), &a);
        let id = b.peer_id.to_string();
        assert_eq!(choose(&nodes, Some(&id)).unwrap(), &b);
        assert_eq!(choose(&nodes, Some(&format!("o://b#{id}"))).unwrap(), &b);
        for which in [None, Some("o://b"), Some("nonsense")] {
            assert_eq!(exit(&nodes, which), Exit::Usage, "{which:?}");
        }
        assert_eq!(exit(&nodes, Some("o://c")), Exit::NotFound);
        assert_eq!(exit(&[], None), Exit::NotFound);
    }
}
