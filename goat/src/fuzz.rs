//! Tests with made-up input, which are the same at every run.
//!
//! `GOATHERD_FUZZ_CASES` is how many cases each of them has, `GOATHERD_FUZZ_SEED` which ones.

use std::str::FromStr;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Few enough that nobody waits for them.
const CASES: u32 = 512;

/// Runs a test with inputs of a strategy, and prints the seed, which a failing test shows.
pub(crate) fn fuzz<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let seed: u64 = number("GOATHERD_FUZZ_SEED").unwrap_or(1);
    let cases = number("GOATHERD_FUZZ_CASES");
    println!("GOATHERD_FUZZ_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    if let Err(error) = TestRunner::new_with_rng(config, random).run(&strategy, test) {
        panic!("{error}");
    }
}

/// The variable's number.
fn number<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is no number that fits")))
}
