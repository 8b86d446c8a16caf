//! The word that somebody who mistyped most likely meant.

use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;

/// Below this likeness (0 to 1) a guess would be noise.
const LIKE_ENOUGH: f64 = 0.5;

/// The candidate nearest to `word`, if any is near enough to be worth saying.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (normalized_levenshtein(&word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let tables = ["events", "alerts", "quarantine", "batches"];
        assert_eq!(nearest("event", tables), Some("events"));
        assert_eq!(nearest("BATCHS", tables), Some("batches"));
        assert_eq!(nearest("x", tables), None);
    }
}
