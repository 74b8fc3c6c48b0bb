//! Refuses peers whose score is too low, until it has decayed.

use std::sync::Arc;

use o_core::{Attempt, ConnectionGater, DenyReason};

use super::Ledger;

/// The policy of a node with [`ReputationConfig::min_score`](crate::ReputationConfig::min_score).
#[derive(Clone, Debug)]
pub(crate) struct ReputationGater {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) min_score: f64,
}

impl ConnectionGater for ReputationGater {
    fn allow(&self, attempt: &Attempt<'_>) -> Result<(), DenyReason> {
        match attempt.peer {
            Some(peer) if self.ledger.score(peer) < self.min_score => Err(DenyReason::Policy {
                reason: "calls to the peer have failed too often".into(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use o_address::PeerId;
    use o_core::{Direction, Stage};

    use super::*;
    use crate::reputation::{Outcome, ReputationConfig};

    #[test]
    fn a_liar_is_refused_both_ways_and_strangers_are_not() {
        let ledger = Arc::new(Ledger::new(ReputationConfig::default()));
        let [liar, stranger] =
            [1, 2].map(|n| PeerId::from_bytes(&[&[0x00, 32][..], &[n; 32]].concat()).unwrap());
        let gater = ReputationGater {
            ledger: ledger.clone(),
            min_score: 0.5,
        };
        let entry = ledger.entry(liar);
        for direction in [Direction::Inbound, Direction::Outbound] {
            let attempt = Attempt::new(Stage::Established, direction);
            assert_eq!(gater.allow(&attempt), Ok(()));
            assert_eq!(gater.allow(&attempt.peer(&stranger)), Ok(()));
            entry.observe(&"m".into(), Outcome::Lied, Instant::now());
            assert!(gater.allow(&attempt.peer(&liar)).is_err());
        }
    }
}
