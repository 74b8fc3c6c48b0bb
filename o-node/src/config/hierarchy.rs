//! A node's place in the hierarchy.

use std::{path::PathBuf, time::Duration};

use humantime_serde::re::humantime::format_duration;
use o_address::{Address, PeerId, TransportAddr};
use o_core::{Access, Pattern, Policy};
use serde::{Deserialize, Serialize};

/// A node's place in the hierarchy: whom it joins, whom it takes, and how it notices that somebody is
/// gone.
///
/// A node with a name and without a parent is a root, the leader of the names below its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HierarchyConfig {
    /// The node's own name, below its parent's. Default: the address of the first agent that the node
    /// was built with. Without either the node belongs to no hierarchy and takes no children.
    pub name: Option<Address>,
    /// Where its parent is. With a `/p2p/` part, only that peer will do.
    pub parent: Option<TransportAddr>,
    /// The key of the root. Default: the parent's, where the address of the parent names it and it is
    /// the root; else the key that is remembered for the root's name, or the first that is seen.
    pub root_key: Option<PeerId>,
    /// Where the keys of roots are remembered; nowhere by default, so that they are forgotten at stop.
    /// Names below a root that is remembered are believed only with its chain, by nodes outside its tree
    /// too.
    pub trust_file: Option<PathBuf>,
    /// How the keys of this node's root succeeded each other: a file of [`write_successors`], written when
    /// the key was rotated. For the root itself; one that is not there holds none.
    ///
    /// [`write_successors`]: crate::write_successors
    pub successors: Option<PathBuf>,
    /// Whom it takes as children.
    pub admit: Admit,
    /// Peers that are taken as children under [`Admit::Listed`], and under any name that is held by
    /// another key already. At most 4,096.
    pub listed: Vec<PeerId>,
    /// Strangers whose calls are answered though only the family's are. At most 4,096.
    pub friends: Vec<PeerId>,
    /// Whose calls to other nodes of the tree it passes on.
    pub forward: Forward,
    /// What it forbids to itself and to everybody below it, beside what its parent forbids.
    pub policy: PolicyConfig,
    /// How often a child tells its parent that it is there; whoever has not been heard for
    /// `missed_beats` of them is lost. Default 1 s, in the preset public 15 s.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Heartbeats that may be missing. Default 3.
    pub missed_beats: u32,
    /// How long a child that is with another than its own parent waits before it tries that one again.
    /// Default 2 s, in the preset public 30 s.
    #[serde(with = "humantime_serde")]
    pub return_interval: Duration,
    /// How long a join may take, the ping back included. Default 5 s.
    #[serde(with = "humantime_serde")]
    pub join_timeout: Duration,
    /// How long a delegation holds; it is renewed at half of it. Default 24 h.
    #[serde(with = "humantime_serde")]
    pub delegation_lifetime: Duration,
    /// Most children. Default 1,024, of about 2 KiB each.
    pub max_children: usize,
    /// Most nodes that a call may pass on its way through the tree. Default 16, at most 32.
    pub max_hops: u8,
    /// Most nodes that one answer about the tree lists. Default 4,096.
    pub max_listed_nodes: usize,
}

/// Whom a node takes as children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Admit {
    /// Everybody who may connect. A name stays with the key that had it first.
    #[default]
    Everybody,
    /// Those on the list, and those to whom the tree has given their name before.
    Listed,
    /// Nobody.
    Nobody,
}

/// Whose calls to other nodes of the tree a node passes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Forward {
    /// Those of everybody whose calls it takes itself.
    #[default]
    Everybody,
    /// Those of its parent, its children and the leader.
    Family,
    /// Nobody's.
    Nobody,
}

/// What a node forbids: [`Policy`] as it is written in a configuration. What is left out forbids
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyConfig {
    /// Who may connect.
    pub access: Option<Access>,
    /// The only capabilities that may be announced, as patterns such as `text/*`. At most 64.
    pub capabilities: Option<Vec<String>>,
    /// The only strangers that may connect. At most 64.
    pub allowed: Option<Vec<PeerId>>,
    /// Who may not connect. At most 64.
    pub denied: Vec<PeerId>,
    /// How many levels of children there may be below the node.
    pub depth: Option<u8>,
}

impl PolicyConfig {
    /// The policy that it describes.
    ///
    /// # Errors
    /// A pattern that is none, or a list that is too long, in words.
    pub fn policy(&self) -> Result<Policy, String> {
        let mut policy = Policy::default();
        policy.access = self.access.unwrap_or(policy.access);
        policy.depth = self.depth.unwrap_or(policy.depth).min(policy.depth);
        if let Some(patterns) = &self.capabilities {
            let read = |text: &String| Pattern::parse(text).map_err(|error| error.to_string());
            policy.capabilities = Some(patterns.iter().map(read).collect::<Result<_, _>>()?);
        }
        policy.allowed = (self.allowed.as_ref()).map(|peers| peers.iter().copied().collect());
        policy.denied = self.denied.iter().copied().collect();
        let counts = [
            policy.capabilities.as_ref().map_or(0, |list| list.len()),
            policy.allowed.as_ref().map_or(0, |list| list.len()),
            policy.denied.len(),
        ];
        match counts.iter().any(|count| *count > Policy::MAX) {
            true => Err(format!(
                "a list of a policy has at most {} entries",
                Policy::MAX
            )),
            false => Ok(policy),
        }
    }
}

/// Most entries of a list of peers.
const MAX_LISTED: usize = 4096;

impl HierarchyConfig {
    /// Whether a node can run with it.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(name) = &self.name
            && (name.root().is_node() || name.pin().is_some())
        {
            return Err(format!(
                "`hierarchy.name` is {name}: it must not be reserved or pinned"
            ));
        }
        self.policy
            .policy()
            .map_err(|error| format!("`hierarchy.policy`: {error}"))?;
        let lists = [("listed", &self.listed), ("friends", &self.friends)];
        for (field, list) in lists {
            if list.len() > MAX_LISTED {
                return Err(format!(
                    "`hierarchy.{field}` may have at most {MAX_LISTED} peers"
                ));
            }
        }
        self.check_times()?;
        let counts = [
            ("missed_beats", u64::from(self.missed_beats), 2, 1000),
            ("max_children", wide(self.max_children), 1, 1_000_000),
            ("max_hops", self.max_hops.into(), 1, 32),
            (
                "max_listed_nodes",
                wide(self.max_listed_nodes),
                1,
                1_000_000,
            ),
        ];
        match counts
            .iter()
            .find(|(_, count, least, most)| count < least || count > most)
        {
            Some((field, _, least, most)) => {
                Err(format!("`hierarchy.{field}` must be {least} to {most}"))
            }
            None => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), String> {
        let times = [
            (
                "heartbeat",
                self.heartbeat,
                Duration::from_millis(50),
                Duration::from_secs(60),
            ),
            (
                "return_interval",
                self.return_interval,
                Duration::from_millis(50),
                DAY,
            ),
            (
                "join_timeout",
                self.join_timeout,
                Duration::from_millis(100),
                Duration::from_secs(600),
            ),
            (
                "delegation_lifetime",
                self.delegation_lifetime,
                Duration::from_secs(10),
                2 * DAY,
            ),
        ];
        for (field, time, least, most) in times {
            if time < least || time > most {
                let bounds = [least, most].map(format_duration);
                let [least, most] = bounds;
                return Err(format!("`hierarchy.{field}` must be {least} to {most}"));
            }
        }
        Ok(())
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Default for HierarchyConfig {
    fn default() -> Self {
        Self {
            name: None,
            parent: None,
            root_key: None,
            trust_file: None,
            successors: None,
            admit: Admit::default(),
            listed: Vec::new(),
            friends: Vec::new(),
            forward: Forward::default(),
            policy: PolicyConfig::default(),
            heartbeat: Duration::from_secs(1),
            missed_beats: 3,
            return_interval: Duration::from_secs(2),
            join_timeout: Duration::from_secs(5),
            delegation_lifetime: Duration::from_secs(24 * 3600),
            max_children: 1024,
            max_hops: 16,
            max_listed_nodes: 4096,
        }
    }
}
