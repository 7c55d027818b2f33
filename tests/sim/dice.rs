//! Chance that a seed repeats exactly: splitmix64, and nothing of the machine's.

/// A row of numbers that looks random and is given by its seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A row of its own for one part of the world: what one part draws does not move the others.
    pub fn fork(&mut self) -> Self {
        Self(self.roll() ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to below `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low).max(1)
    }

    /// Below `count`.
    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.between(0, count as u64)).expect("below a usize")
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.roll() % 1000 < per_mille
    }

    pub fn pick<'t, T>(&mut self, among: &'t [T]) -> &'t T {
        &among[self.index(among.len())]
    }

    /// One of `among`, as often as its weight says.
    pub fn weighted<'t, T>(&mut self, among: &'t [(u64, T)]) -> &'t T {
        let sum = among.iter().map(|(weight, _)| weight).sum();
        let mut left = self.between(0, sum);
        for (weight, one) in among {
            if left < *weight {
                return one;
            }
            left -= weight;
        }
        unreachable!("what is left is below the sum of the weights")
    }

    /// From 0 to 1.
    pub fn part(&mut self) -> f64 {
        f64::from(u32::try_from(self.roll() >> 32).expect("32 bits")) / f64::from(u32::MAX)
    }
}
