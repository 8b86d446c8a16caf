//! Seeds: printed, and taken from the environment to run a failure again.

use rand::SeedableRng;
use rand::rngs::StdRng;

const VARIABLE: &str = "POSTLAKE_TEST_SEED";

/// The seed of this run: `POSTLAKE_TEST_SEED`, else another one each time. It is printed, and shown
/// with the failure if there is one.
pub fn seed() -> u64 {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().expect("POSTLAKE_TEST_SEED is a number"),
        Err(_) => rand::random(),
    };
    eprintln!("run it again with {VARIABLE}={seed}");
    seed
}

/// Dice for one use of the seed.
pub fn dice(seed: u64, of: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ of.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
