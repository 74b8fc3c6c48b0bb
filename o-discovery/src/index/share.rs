//! Room for everybody in an answer that not everything fits into.

use std::collections::HashMap;

use o_address::PeerId;

/// At most `limit` of what was found, in the same order. Where not everything fits, one peer gets at most a
/// quarter of the places as long as others fill the rest: names cost nothing, so that a peer with many of
/// them could otherwise hide everybody else.
pub(crate) fn share<T>(mut found: Vec<T>, limit: usize, peer: impl Fn(&T) -> PeerId) -> Vec<T> {
    if found.len() <= limit {
        return found;
    }
    let most = limit.div_ceil(4);
    let mut counts = HashMap::<PeerId, usize>::new();
    let mut over = Vec::with_capacity(found.len());
    let mut left = limit;
    for item in &found {
        let count = counts.entry(peer(item)).or_default();
        let takes = *count < most && left > 0;
        *count += usize::from(takes);
        left -= usize::from(takes);
        over.push(!takes);
    }
    for over in &mut over {
        if left > 0 && *over {
            *over = false;
            left -= 1;
        }
    }
    let mut over = over.into_iter();
    found.retain(|_| over.next() == Some(false));
    found
}

/// Whether there is a place for one more of a peer that has `of_peer` of the `taken` places already: one peer
/// gets at most half of those that are left by the others.
pub fn has_place(of_peer: usize, taken: usize, places: usize) -> bool {
    let others = taken.saturating_sub(of_peer);
    taken < places && of_peer < places.saturating_sub(others).div_ceil(2)
}

/// Puts each peer's first before anybody's second, and so on; what is equal in that stays as it is.
pub(crate) fn by_turns<T>(found: Vec<T>, peer: impl Fn(&T) -> PeerId) -> Vec<T> {
    let mut counts = HashMap::<PeerId, usize>::new();
    let mut turns: Vec<(usize, T)> = found
        .into_iter()
        .map(|item| {
            let count = counts.entry(peer(&item)).or_default();
            *count += 1;
            (*count, item)
        })
        .collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::peer;

    fn ranked(peers: &[u8]) -> Vec<(u8, usize)> {
        peers.iter().copied().zip(0..).collect()
    }

    #[test]
    fn no_peer_hides_the_others() {
        let found = ranked(&[1, 1, 1, 1, 1, 1, 2, 1, 3]);
        let of = |item: &(u8, usize)| peer(item.0);
        assert_eq!(share(found.clone(), 9, of), found);
        // A quarter of four is one; the fourth place is left by the others.
        let ranks: Vec<_> = share(found.clone(), 4, of).iter().map(|i| i.1).collect();
        assert_eq!(ranks, [0, 1, 6, 8]);
        assert!(share(found.clone(), 0, of).is_empty());
        // Alone it gets half, and who comes later still finds a place.
        let mut taken = vec![0; 4];
        for peer in [0, 1, 2, 3] {
            while has_place(taken[peer], taken.iter().sum(), 16) {
                taken[peer] += 1;
            }
        }
        assert_eq!(taken, [8, 4, 2, 1]);
        assert!(!has_place(0, 16, 16));
        let turns: Vec<_> = by_turns(found, of).iter().map(|i| i.1).collect();
        assert_eq!(turns, [0, 6, 8, 1, 2, 3, 4, 5, 7]);
    }
}
