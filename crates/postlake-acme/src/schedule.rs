//! When the authority is asked again. All times in seconds since 1970, `jitter` from 0 to 1.

use postlake_listen::Validity;

/// Waits after the first failure, the second, and so on. In an hour there are four attempts at most:
/// Let's Encrypt turns those away whose name was not proven five times within one.
const WAITS_SECS: [i64; 6] = [60, 300, 1_500, 7_200, 21_600, 43_200];
/// No authority is left alone for longer than that, whatever it or the clock says.
pub(crate) const LONGEST_WAIT_SECS: i64 = 8 * 24 * 3600;
/// A certificate that is due at once after it was ordered (the clock is wrong, or it is backdated) is
/// not ordered again before this share of its life has passed.
const LEAST_SHARE: i64 = 10;
const LEAST_SECS: i64 = 5;

/// When a certificate is ordered anew: after two thirds of its life, or a little earlier, so that
/// servers that were started together do not ask together.
pub(crate) fn renew_at(validity: Validity, ordered_at: i64, jitter: f64) -> i64 {
    let life = validity.not_after_secs - validity.not_before_secs;
    let due = validity.not_before_secs + life / 3 * 2 - share(life / 30, jitter);
    due.max(ordered_at + (life / LEAST_SHARE).max(LEAST_SECS))
}

/// How long to wait after that many failures in a row; the authority may want more.
pub(crate) fn wait_secs(failures: u32, jitter: f64) -> i64 {
    let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = WAITS_SECS.get(step).or(WAITS_SECS.last());
    let wait = wait.copied().unwrap_or(LONGEST_WAIT_SECS);
    wait - wait / 4 + share(wait / 2, jitter)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a share of a span need not be exact, and is smaller than the span"
)]
fn share(span: i64, jitter: f64) -> i64 {
    (span as f64 * jitter.clamp(0.0, 1.0)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_or_a_little_earlier() {
        let cases = [
            (90 * DAY, 0.0, 60 * DAY),
            (90 * DAY, 1.0, 57 * DAY),
            (6 * DAY, 0.0, 4 * DAY),
            (30, 0.0, 20),
            (30, 1.0, 19),
        ];
        for (life, jitter, expected) in cases {
            let validity = Validity {
                not_before_secs: 1_000,
                not_after_secs: 1_000 + life,
            };
            assert_eq!(renew_at(validity, 0, jitter), 1_000 + expected, "{life}");
        }
    }

    #[test]
    fn a_new_certificate_that_has_ended_already_is_not_ordered_again_and_again() {
        let validity = Validity {
            not_before_secs: 0,
            not_after_secs: 90 * DAY,
        };
        let now = 1_000 * DAY;
        assert_eq!(renew_at(validity, now, 0.5), now + 9 * DAY);
        let nothing = Validity {
            not_before_secs: now,
            not_after_secs: now - 10,
        };
        assert_eq!(renew_at(nothing, now, 1.0), now + LEAST_SECS);
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        for jitter in [0.0, 0.5, 1.0] {
            let waits: Vec<_> = (1..=9)
                .map(|failures| wait_secs(failures, jitter))
                .collect();
            assert!(waits.is_sorted(), "{waits:?}");
            // The fifth attempt is not within an hour of the first one.
            assert!(waits[..4].iter().sum::<i64>() > 3_600, "{waits:?}");
            assert!(waits[8] <= 15 * 3_600, "{waits:?}");
        }
        assert_eq!((wait_secs(1, 0.5), wait_secs(0, 0.5)), (60, 60));
    }
}
