//! What is measured, in which order, and how long.

use std::time::Duration;

use o_node::Load;

use crate::cli::{BenchArgs, Measure};

/// Bytes of a small call.
pub(super) const SMALL: u64 = 100;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * 1024;
/// Most bytes of one upload; the next one follows at once.
const UPLOAD: u64 = 64 * MIB;
/// Most time for getting up to speed.
const WARM_UP: Duration = Duration::from_millis(200);
/// How long one call may take, beyond the time for its figure.
const CALL: Duration = Duration::from_secs(30);

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) measure: Measure,
    /// Of a body; of an upload, what a call has at most.
    pub(super) bytes: u64,
    pub(super) in_flight: usize,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Of each figure.
    pub(super) duration: Duration,
    /// Connections to be set up.
    pub(super) connections: u32,
}

/// In the order in which they are measured.
const STEPS: [(Measure, u64, usize); 9] = [
    (Measure::Setup, SMALL, 1),
    (Measure::Rtt, SMALL, 1),
    (Measure::Calls, SMALL, 1),
    (Measure::Calls, SMALL, 64),
    (Measure::Calls, SMALL, 512),
    (Measure::Echo, 64 * KIB, 8),
    (Measure::Echo, MIB, 8),
    (Measure::Echo, 16 * MIB, 1),
    (Measure::Upload, UPLOAD, 1),
];

impl Plan {
    pub(super) fn new(args: &BenchArgs) -> Self {
        let wanted = |measure| args.measure.is_empty() || args.measure.contains(&measure);
        let steps = STEPS.into_iter().filter(|(measure, ..)| wanted(*measure));
        let (duration, connections) = match args.quick {
            true => (Duration::from_millis(300), 5),
            false => (Duration::from_secs(2), 20),
        };
        Self {
            steps: steps
                .map(|(measure, bytes, in_flight)| Step {
                    measure,
                    bytes,
                    in_flight,
                })
                .collect(),
            duration: args.duration.unwrap_or(duration),
            connections,
        }
    }
}

impl Step {
    /// What is done for it.
    pub(super) fn load(self, duration: Duration) -> Load {
        let load = match self.measure {
            Measure::Upload => Load::upload(self.bytes),
            _ => Load::echo(self.bytes),
        };
        let load = load.in_flight(self.in_flight).duration(duration);
        load.timeout(duration.saturating_add(CALL))
    }

    /// What is done before, and not counted. Large bodies need none: their first calls are slower by
    /// less than they take.
    pub(super) fn warm_up(self, duration: Duration) -> Option<Load> {
        let small = self.bytes == SMALL;
        small.then(|| self.load(WARM_UP.min(duration / 5)))
    }

    /// What it is, in words.
    pub(super) fn words(self) -> String {
        let size = super::report::size(self.bytes);
        match self.measure {
            Measure::Setup => "connections".to_owned(),
            Measure::Rtt => format!("round trips of {size}"),
            Measure::Calls => format!("calls of {size}, {} in flight", self.in_flight),
            Measure::Echo => format!("echoes of {size}, {} in flight", self.in_flight),
            Measure::Upload => "upload".to_owned(),
        }
    }
}
