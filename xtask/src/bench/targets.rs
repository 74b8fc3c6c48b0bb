//! What was promised, and whether it was reached.

use super::{
    contenders::{BARE, NATS, OURS, OURS_LOCAL, OURS_TLS, RAW_TLS, TONIC},
    figures::{
        CALLS_64, CALLS_512, CPU, ECHO_1M, Figures, IDLE, MIXED_P50, MIXED_P99, Mode, RTT, SETUP,
        STALLED_BEFORE, STALLED_MEMORY, STALLED_P99, Spread, UPLOAD, What,
    },
};

/// What a figure is compared with.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// The same figure of another contender, and its name.
    Peer(&'static str, &'static str),
    /// Another figure of ours.
    Own(What, &'static str),
    /// Nothing: the figure in this unit, so many of which make one of the limit's.
    Unit(&'static str, f64),
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(limit) => format!("≥ {limit}"),
            Self::AtMost(limit) => format!("≤ {limit}"),
        }
    }
}

/// One promise.
#[derive(Debug)]
struct Target {
    about: &'static str,
    /// Which of our ways.
    ours: &'static str,
    mode: Mode,
    what: What,
    against: Against,
    bound: Bound,
}

const fn target(
    about: &'static str,
    mode: Mode,
    what: What,
    against: Against,
    bound: Bound,
) -> Target {
    Target {
        about,
        ours: OURS,
        mode,
        what,
        against,
        bound,
    }
}

impl Target {
    /// The same over another of our ways.
    const fn by(self, ours: &'static str) -> Self {
        Self { ours, ..self }
    }
}

const OVER_TONIC: Against = Against::Peer(TONIC, "tonic");
const OVER_TLS: Against = Against::Peer(RAW_TLS, "raw TLS");
const BESIDE: &str = "100 B call beside 4 MiB echoes on the same connection";
const STOPPED: &str = "one reader that stops";

const TARGETS: &[Target] = {
    use Against::{Own, Peer, Unit};
    use Bound::{AtLeast, AtMost};
    use Mode::{Pinned, Unpinned};
    &[
        target(
            "calls/s, 64 in flight",
            Pinned,
            CALLS_64,
            OVER_TONIC,
            AtLeast(6.0),
        ),
        target(
            "calls/s, 64 in flight",
            Pinned,
            CALLS_64,
            OVER_TLS,
            AtLeast(0.3),
        ),
        target(
            "calls/s, 64 in flight",
            Unpinned,
            CALLS_64,
            OVER_TONIC,
            AtLeast(4.0),
        ),
        target(
            "calls/s, 64 in flight",
            Unpinned,
            CALLS_64,
            Peer(NATS, "NATS"),
            AtLeast(1.5),
        ),
        target(
            "calls/s, 512 in flight",
            Pinned,
            CALLS_512,
            OVER_TONIC,
            AtLeast(8.0),
        ),
        target("round trip, p50", Pinned, RTT, OVER_TONIC, AtMost(0.8)),
        target(
            "processor time of a call, both ends",
            Pinned,
            CPU,
            OVER_TONIC,
            AtMost(0.2),
        ),
        target(
            "connect to first reply, p50",
            Pinned,
            SETUP,
            Peer(BARE, "a bare substream"),
            AtMost(1.15),
        ),
        target(
            "1 MiB echo, 8 in flight",
            Pinned,
            ECHO_1M,
            OVER_TLS,
            AtLeast(0.75),
        ),
        target(
            "bulk one way, network path",
            Pinned,
            UPLOAD,
            OVER_TLS,
            AtLeast(0.8),
        ),
        target(
            "1 MiB echo, 8 in flight, our TLS",
            Pinned,
            ECHO_1M,
            OVER_TLS,
            AtLeast(0.75),
        )
        .by(OURS_TLS),
        target(
            "bulk one way, network path, our TLS",
            Pinned,
            UPLOAD,
            OVER_TLS,
            AtLeast(0.8),
        )
        .by(OURS_TLS),
        target(
            "bulk one way between two processes of one machine, Unix socket, plaintext",
            Unpinned,
            UPLOAD,
            Unit("GB/s", 1000.0),
            AtLeast(2.0),
        )
        .by(OURS_LOCAL),
        target(
            BESIDE,
            Pinned,
            MIXED_P50,
            Unit("ms, p50", 1000.0),
            AtMost(1.0),
        ),
        target(
            BESIDE,
            Pinned,
            MIXED_P99,
            Unit("ms, p99", 1000.0),
            AtMost(5.0),
        ),
        target(
            "server memory of an idle connection",
            Pinned,
            IDLE,
            Unit("KiB", 1.0),
            AtMost(45.0),
        ),
        target(
            STOPPED,
            Pinned,
            STALLED_P99,
            Own(STALLED_BEFORE, "the others' p99 before"),
            AtMost(1.2),
        ),
        target(
            STOPPED,
            Pinned,
            STALLED_MEMORY,
            Unit("MiB", 1024.0),
            AtMost(8.0),
        ),
    ]
};

impl Target {
    fn measured(&self, figures: &Figures) -> Option<Spread> {
        let ours = (self.ours, self.what);
        match self.against {
            Against::Peer(peer, _) => figures.ratio(self.mode, ours, (peer, self.what)),
            Against::Own(other, _) => figures.ratio(self.mode, ours, (self.ours, other)),
            Against::Unit(_, factor) => {
                let found = figures.get(self.mode, self.ours, self.what)?;
                Some(Spread {
                    median: found.median / factor,
                    least: found.least / factor,
                    most: found.most / factor,
                })
            }
        }
    }

    fn row(&self, figures: &Figures) -> String {
        let unit = match self.against {
            Against::Peer(_, name) | Against::Own(_, name) => format!("× {name}"),
            Against::Unit(unit, _) => unit.to_owned(),
        };
        let (measured, reached) = match self.measured(figures) {
            Some(found) => (
                format!(
                    "{} ({}–{})",
                    digits(found.median),
                    digits(found.least),
                    digits(found.most)
                ),
                if self.bound.holds(found.median) {
                    "yes"
                } else {
                    "**no**"
                },
            ),
            None => ("not measured".to_owned(), "–"),
        };
        format!(
            "| {} | {} | {} {unit} | {measured} | {reached} |",
            self.about,
            self.mode.name(),
            self.bound.text()
        )
    }
}

/// So many that a figure just beyond a limit can be told from the limit.
fn digits(value: f64) -> String {
    if value < 1.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.2}")
    }
}

/// The table of promises.
pub(super) fn table(figures: &Figures) -> String {
    let mut lines = vec![
        "| 100 B, one connection, unless said | mode | target | measured (range) | reached |"
            .to_owned(),
        "| --- | --- | --- | --- | --- |".to_owned(),
    ];
    lines.extend(TARGETS.iter().map(|target| target.row(figures)));
    lines.join("\n")
}
