//! Chance that a seed decides.
//!
//! Every decision has its own dice, made of the seed, what it is about and its number. So a decision does not
//! depend on how many others were made before it, and the same seed decides the same however fast the machine is.

/// What a decision is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About {
    /// What is pushed.
    Load,
    /// What is killed.
    Kills,
    /// What a task under GOAT does, and what is done to it.
    Goat,
}

/// Dice for one decision.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of decision `number`.
    pub(crate) fn new(seed: u64, about: About, number: u64) -> Self {
        let about = match about {
            About::Load => 1,
            About::Kills => 2,
            About::Goat => 3,
        };
        let mut dice = Self(seed);
        let mixed = dice.roll();
        dice.0 = mixed ^ Self(number.wrapping_mul(4).wrapping_add(about)).roll();
        dice
    }

    /// Any number. `SplitMix64`, of <https://prng.di.unimi.it/splitmix64.c>.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    /// One of several, each as often as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let all: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.roll() % all;
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("what is left is less than all weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_decides_the_same_and_another_one_does_not() {
        let roll = |seed, number| Dice::new(seed, About::Kills, number).roll();

        assert_eq!(roll(7, 3), roll(7, 3));
        assert_ne!(roll(7, 3), roll(7, 4));
        assert_ne!(roll(7, 3), roll(8, 3));
        assert_ne!(roll(7, 3), Dice::new(7, About::Load, 3).roll());
    }
}
