//! Health Score bands.
//!
//! Thresholds as the sender's own pages draw them: below 55 bad, below 80 needs improvement, else
//! good, on the 0 to 100 scale of the alert webhook.

/// The metric name under which Health Scores arrive.
pub const METRIC: &str = "health_score";

/// Below this a score is bad.
pub const BAD_BELOW: f64 = 55.0;

/// Below this a score needs improvement; from here on it is good.
pub const GOOD_FROM: f64 = 80.0;

/// What a score means in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Band {
    /// Below [`BAD_BELOW`].
    Bad,
    /// From [`BAD_BELOW`] to below [`GOOD_FROM`].
    NeedsImprovement,
    /// [`GOOD_FROM`] and above.
    Good,
}

impl Band {
    /// The band of a score on the 0 to 100 scale.
    pub fn of(score: f64) -> Band {
        if score < BAD_BELOW {
            Band::Bad
        } else if score < GOOD_FROM {
            Band::NeedsImprovement
        } else {
            Band::Good
        }
    }

    /// The band's name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Band::Bad => "bad",
            Band::NeedsImprovement => "needs_improvement",
            Band::Good => "good",
        }
    }

    /// The band in words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Band::Bad => "bad",
            Band::NeedsImprovement => "needs improvement",
            Band::Good => "good",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_change_at_their_thresholds() {
        let cases = [
            (0.0, Band::Bad),
            (54.999, Band::Bad),
            (55.0, Band::NeedsImprovement),
            (79.9, Band::NeedsImprovement),
            (80.0, Band::Good),
            (100.0, Band::Good),
        ];
        for (score, band) in cases {
            assert_eq!(Band::of(score), band, "{score}");
        }
    }
}
