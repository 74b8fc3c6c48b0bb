//! Dials in turns: the nearest addresses first, others when those fail or take long.

use std::{future::Future, pin::pin, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use o_address::TransportAddr;
use o_core::DialError;
use o_transport::rank;

/// The addresses of one peer in the order in which they are dialed: those of one rank at once, and
/// without a `stagger` all of them. There is always a turn, which may be empty.
pub(super) fn turns(
    mut addresses: Vec<TransportAddr>,
    stagger: Duration,
) -> Vec<Vec<TransportAddr>> {
    addresses.sort_by_key(rank);
    if addresses.is_empty() || stagger.is_zero() {
        return vec![addresses];
    }
    let alike = addresses.chunk_by(|one, other| rank(one) == rank(other));
    alike.map(<[_]>::to_vec).collect()
}

/// Takes the turns, with `dial(addresses, whether they are the last)`, until one succeeds: each begins
/// when all before it have failed, or `stagger` after the one before it began (RFC 8305, section 5).
///
/// The other dials are dropped.
pub(super) async fn take<T, F>(
    turns: Vec<Vec<TransportAddr>>,
    stagger: Duration,
    mut dial: impl FnMut(Vec<TransportAddr>, bool) -> F,
) -> Result<T, Vec<DialError>>
where
    F: Future<Output = Result<T, DialError>>,
{
    let mut turns = turns.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failed = Vec::new();
    while let Some(addresses) = turns.next() {
        let last = turns.len() == 0;
        running.push(dial(addresses, last));
        let mut pause = pin!(tokio::time::sleep(stagger));
        loop {
            tokio::select! {
                biased;
                result = running.next() => match result {
                    Some(Ok(opened)) => return Ok(opened),
                    Some(Err(error)) => failed.push(error),
                    None => break,
                },
                () = &mut pause, if !last => break,
            }
        }
    }
    Err(failed)
}

/// Of the errors of all turns, the one that says most; plain failures are told together.
pub(super) fn sum_up(failed: Vec<DialError>) -> Option<DialError> {
    let says_more = |error: &DialError| match error {
        DialError::NoAddresses { .. } => 0,
        DialError::Failed { .. } => 1,
        DialError::TimedOut { .. } => 2,
        _ => 3,
    };
    failed
        .into_iter()
        .reduce(|first, second| match (first, second) {
            (
                DialError::Failed { peer, reason },
                DialError::Failed {
                    reason: another, ..
                },
            ) => DialError::Failed {
                peer,
                reason: format!("{reason}; {another}"),
            },
            (first, second) if says_more(&second) > says_more(&first) => second,
            (first, _) => first,
        })
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use o_address::PeerId;
    use tokio::time::Instant;

    use super::*;

    const STAGGER: Duration = Duration::from_millis(250);
    const SOCKET: &str = "/unix/%2Ftmp%2Fa.sock";
    const HERE: &str = "/ip4/127.0.0.1/tcp/1";
    const FAR: &str = "/ip4/192.0.2.1/tcp/1";
    const FAR_TOO: &str = "/ip6/2001:db8::1/tcp/1";
    const QUIC: &str = "/ip4/192.0.2.1/udp/1/quic-v1";

    fn given() -> Vec<TransportAddr> {
        let given = [QUIC, FAR, HERE, FAR_TOO, SOCKET];
        given.map(|text| text.parse().unwrap()).into()
    }

    fn all() -> Vec<Vec<TransportAddr>> {
        turns(given(), STAGGER)
    }

    fn peer() -> PeerId {
        "12D3KooWQA9eZ7s8E7KvNJGG7AXRioyASFicECjdKL1DS2C1Duoo"
            .parse()
            .unwrap()
    }

    fn failed(reason: &str) -> DialError {
        let reason = reason.to_owned();
        DialError::Failed {
            peer: peer(),
            reason,
        }
    }

    #[test]
    fn the_nearest_come_first_and_those_of_one_rank_together() {
        let texts: Vec<Vec<_>> = all()
            .iter()
            .map(|turn| turn.iter().map(ToString::to_string).collect())
            .collect();
        assert_eq!(
            texts,
            [vec![SOCKET], vec![HERE], vec![FAR, FAR_TOO], vec![QUIC]]
        );
    }

    #[test]
    fn without_a_stagger_all_are_one_turn_and_no_address_is_a_turn_too() {
        let [at_once] = turns(given(), Duration::ZERO).try_into().unwrap();
        assert_eq!(at_once.len(), given().len());
        assert_eq!(turns(Vec::new(), STAGGER), [Vec::new()]);
    }

    /// Takes all turns, of which those that `answer` says something of end so after their time, and others
    /// never. When each began, and what came of it.
    async fn run(
        answer: impl Fn(&str) -> Option<(u64, Result<(), DialError>)>,
    ) -> (Vec<(u128, bool)>, Result<(), Vec<DialError>>) {
        let begun = Instant::now();
        let log = RefCell::new(Vec::new());
        let result = take(all(), STAGGER, |addresses, last| {
            log.borrow_mut().push((begun.elapsed().as_millis(), last));
            let answer = answer(addresses[0].as_str());
            async move {
                match answer {
                    Some((after, result)) => {
                        tokio::time::sleep(Duration::from_millis(after)).await;
                        result
                    }
                    None => pending().await,
                }
            }
        });
        let result = result.await;
        (log.into_inner(), result)
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_makes_way_at_once_and_who_is_silent_after_the_stagger() {
        let (begun, result) = run(|text| match text {
            SOCKET => Some((0, Err(failed("no file")))),
            HERE => None,
            FAR => None,
            _ => Some((10, Ok(()))),
        })
        .await;
        assert!(result.is_ok());
        assert_eq!(begun, [(0, false), (0, false), (250, false), (500, true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_early_one_that_answers_late_still_wins() {
        let (begun, result) = run(|text| (text == SOCKET).then_some((400, Ok(())))).await;
        assert!(result.is_ok());
        assert_eq!(begun, [(0, false), (250, false)]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_each_is_told() {
        let (begun, result) = run(|text| Some((0, Err(failed(text))))).await;
        assert_eq!(begun.len(), 4);
        let error = sum_up(result.unwrap_err()).unwrap();
        let DialError::Failed { reason, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*reason, [SOCKET, HERE, FAR, QUIC].join("; "));
    }

    #[test]
    fn the_error_that_says_most_is_told() {
        let peer = peer();
        let refused = || DialError::Refused {
            peer,
            reason: "not you".into(),
            certain: true,
        };
        let nothing = || DialError::NoAddresses { peer };
        let sums = [
            vec![failed("a"), refused(), failed("b")],
            vec![nothing(), refused()],
        ];
        for errors in sums {
            assert!(matches!(sum_up(errors), Some(DialError::Refused { .. })));
        }
        let sum = sum_up(vec![failed("a"), nothing()]);
        assert!(matches!(sum, Some(DialError::Failed { reason, .. }) if reason == "a"));
        assert!(sum_up(Vec::new()).is_none());
    }
}
