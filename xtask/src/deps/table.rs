//! The table of ARCHITECTURE.md as data: which crate may depend on which, and what each must not reach.

/// What one crate may and must not depend on.
#[derive(Debug)]
pub(super) struct Rule {
    /// The crate.
    pub(super) krate: &'static str,
    /// Our crates that it may depend on.
    pub(super) ours: &'static [&'static str],
    /// Which of them it takes without any feature.
    pub(super) without_features: &'static [&'static str],
    /// What it must not reach, all its features on.
    pub(super) never: &'static [&'static [&'static str]],
    /// What it must not reach as long as nobody asks for a feature.
    pub(super) not_by_default: &'static [&'static [&'static str]],
    /// What its own manifest must not name, although others bring it.
    pub(super) not_directly: &'static [&'static str],
}

impl Rule {
    /// Whether this crate may depend on `other`, one of ours.
    pub(super) fn allows(&self, other: &str, dev: bool) -> bool {
        let for_tests = dev && self.krate != "xtask" && FOR_TESTS.contains(&other);
        self.ours.contains(&other) || for_tests
    }
}

/// What any crate's tests may use.
const FOR_TESTS: &[&str] = &["o-testkit", "o-protocol"];

const LIBP2P: &[&str] = &["libp2p*", "multiaddr"];
const TOKIO: &[&str] = &["tokio*"];
const SERDE: &[&str] = &["serde", "serde_core", "serde_derive"];
const CODECS: &[&str] = &[
    "bincode*",
    "ciborium*",
    "minicbor*",
    "postcard*",
    "prost*",
    "rmp*",
    "serde_bytes",
    "serde_cbor",
    "serde_json",
    "toml*",
];

const EMPTY: Rule = Rule {
    krate: "",
    ours: &[],
    without_features: &[],
    never: &[],
    not_by_default: &[],
    not_directly: &[],
};

/// One rule for each crate; a crate without a rule is an error.
pub(super) const RULES: &[Rule] = &[
    Rule {
        krate: "o-address",
        never: &[LIBP2P, TOKIO],
        not_by_default: &[SERDE],
        ..EMPTY
    },
    Rule {
        krate: "o-core",
        ours: &["o-address"],
        never: &[LIBP2P, TOKIO, CODECS],
        not_by_default: &[SERDE],
        ..EMPTY
    },
    Rule {
        krate: "o-protocol",
        ours: &["o-core", "o-address"],
        never: &[LIBP2P],
        ..EMPTY
    },
    Rule {
        krate: "o-pool",
        ours: &["o-core", "o-address"],
        never: &[LIBP2P, CODECS],
        ..EMPTY
    },
    Rule {
        krate: "o-gating",
        ours: &["o-core", "o-address"],
        never: &[LIBP2P],
        ..EMPTY
    },
    Rule {
        krate: "o-transport",
        ours: &["o-core", "o-address"],
        ..EMPTY
    },
    Rule {
        krate: "o-discovery",
        ours: &["o-core", "o-address", "o-protocol", "o-transport"],
        without_features: &["o-transport"],
        ..EMPTY
    },
    Rule {
        krate: "o-testkit",
        ours: &["o-core", "o-address", "o-protocol"],
        never: &[LIBP2P],
        ..EMPTY
    },
    Rule {
        krate: "o-node",
        ours: &[
            "o-address",
            "o-core",
            "o-protocol",
            "o-pool",
            "o-gating",
            "o-transport",
            "o-discovery",
            "o-interop",
        ],
        ..EMPTY
    },
    Rule {
        krate: "o-cli",
        ours: &["o-node", "o-core", "o-address"],
        not_directly: LIBP2P,
        ..EMPTY
    },
    Rule {
        krate: "o-fuzz",
        ours: &["o-address", "o-core", "o-protocol", "o-testkit"],
        never: &[LIBP2P],
        ..EMPTY
    },
    Rule {
        krate: "o-lab",
        // Some experiments are with the table alone, and with peers that misbehave in it.
        ours: &[
            "o-address",
            "o-core",
            "o-discovery",
            "o-node",
            "o-protocol",
            "o-transport",
        ],
        ..EMPTY
    },
    Rule {
        krate: "xtask",
        never: &[LIBP2P, TOKIO],
        ..EMPTY
    },
];
