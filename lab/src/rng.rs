//! Pseudo-random numbers that are the same for the same seed, on every machine and in every version.

use std::time::Duration;

/// SplitMix64: small, and fixed here for ever so that a seed repeats a run.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 when that is 0. The bias is below limit / 2^64.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit.max(1)
    }

    /// An index below `limit`.
    pub fn index(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or(0)
    }

    /// True this often in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from half of `about` to one and a half of it.
    pub fn around(&mut self, about: Duration) -> Duration {
        let micros = u64::try_from(about.as_micros()).unwrap_or(u64::MAX / 2);
        Duration::from_micros(micros / 2 + self.below(micros + 1))
    }

    /// This many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        // The first outputs of the published SplitMix64 for seed 0.
        let mut rng = Rng::new(0);
        assert_eq!(rng.number(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.number(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(Rng::new(7).bytes(11), Rng::new(7).bytes(11));
        assert_eq!(Rng::new(7).bytes(11).len(), 11);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut rng = Rng::new(1);
        let second = Duration::from_secs(1);
        for _ in 0..1000 {
            assert!(rng.below(3) < 3);
            let time = rng.around(second);
            assert!(time >= second / 2 && time <= second * 3 / 2);
        }
        assert_eq!(rng.below(0), 0);
    }
}
