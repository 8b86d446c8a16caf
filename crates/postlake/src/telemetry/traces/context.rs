//! Which trace a span belongs to, and whether it is kept.

use crate::config::Sampler;

/// Longer ones are no header of ours to parse.
const MOST_BYTES: usize = 512;

/// A span's place among all spans there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) sampled: bool,
}

impl Context {
    /// What a `traceparent` of W3C Trace Context says; `None` if it is not one.
    pub(super) fn parse(header: &str) -> Option<Context> {
        let text = header.trim_matches([' ', '\t']);
        if text.len() > MOST_BYTES {
            return None;
        }
        let mut parts = text.splitn(5, '-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = u64::try_from(hex(parts.next()?, 16)?).ok()?;
        let flags = hex(parts.next()?, 2)?;
        // A later version may say more; ours may not.
        let whole = version != 0 || parts.next().is_none();
        (whole && version != 0xff && trace != 0 && span != 0).then_some(Context {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }

    /// A span below this one.
    pub(super) fn child(self) -> Context {
        Context {
            span: new_span(),
            ..self
        }
    }
}

/// Hexadecimal digits, in lower case and exactly so many, as the standard wants.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = text.len() == digits && text.bytes().all(is_digit);
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn new_span() -> u64 {
    rand::random::<u64>().max(1)
}

/// Decides which traces are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampling {
    by_parent: bool,
    honours_parent: bool,
    /// Traces whose last 63 bits are below this are kept.
    below: u64,
}

impl Sampling {
    pub(super) fn new(sampler: Sampler, honours_parent: bool) -> Sampling {
        Sampling {
            by_parent: sampler.by_parent,
            honours_parent,
            below: share(sampler.ratio),
        }
    }

    /// The beginning of a trace, or of our part in one that the request's header names; with the span of
    /// the other side.
    pub(super) fn begin(self, traceparent: Option<&str>) -> (Context, Option<u64>) {
        let remote = traceparent.filter(|_| self.honours_parent);
        if let Some(remote) = remote.and_then(Context::parse) {
            let sampled = match self.by_parent {
                true => remote.sampled,
                false => self.keeps(remote.trace),
            };
            let context = Context {
                sampled,
                ..remote.child()
            };
            return (context, Some(remote.span));
        }
        let trace = rand::random::<u128>().max(1);
        let context = Context {
            trace,
            span: new_span(),
            sampled: self.keeps(trace),
        };
        (context, None)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the last eight bytes decide, as in every SDK"
    )]
    fn keeps(self, trace: u128) -> bool {
        (trace as u64) >> 1 < self.below
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of 2^63, from 0 to 1 times"
)]
fn share(ratio: f64) -> u64 {
    (ratio * (1_u64 << 63) as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn only_what_the_standard_allows_is_a_traceparent() {
        let good = Context {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0x00f0_67aa_0ba9_02b7,
            sampled: true,
        };
        let parsed = |text: &str| Context::parse(text);
        assert_eq!(parsed(&format!("00-{TRACE}-{SPAN}-01")), Some(good));
        assert_eq!(parsed(&format!("00-{TRACE}-{SPAN}-03 ")), Some(good));
        assert_eq!(
            parsed(&format!("cc-{TRACE}-{SPAN}-01-more-of-it")),
            Some(good)
        );
        let not_kept = parsed(&format!("00-{TRACE}-{SPAN}-00"));
        assert!(!not_kept.unwrap().sampled);
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-+{}-{SPAN}-01", "1".repeat(31)),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01-{}", "x".repeat(MOST_BYTES)),
            "00-é-é-01".to_owned(),
        ] {
            assert_eq!(parsed(&wrong), None, "{wrong}");
        }
    }

    fn sampling(by_parent: bool, ratio: f64) -> Sampling {
        Sampling::new(Sampler { by_parent, ratio }, true)
    }

    #[test]
    fn a_share_of_the_traces_is_kept_and_a_parent_decides_if_it_may() {
        let kept = |ratio| {
            let sampling = sampling(true, ratio);
            let all = (0..4000).filter(|_| sampling.begin(None).0.sampled);
            all.count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 4000));
        assert!((800..1200).contains(&kept(0.25)), "a quarter");
        for (header, sampled) in [("01", true), ("00", false)] {
            let header = format!("00-{TRACE}-{SPAN}-{header}");
            let (context, parent) = sampling(true, 0.0).begin(Some(&header));
            assert_eq!(
                (context.sampled, parent),
                (sampled, Some(0x00f0_67aa_0ba9_02b7))
            );
            assert!(sampling(false, 1.0).begin(Some(&header)).0.sampled);
        }
        let ignored = Sampling::new(
            Sampler {
                by_parent: true,
                ratio: 1.0,
            },
            false,
        );
        let header = format!("00-{TRACE}-{SPAN}-00");
        let (context, parent) = ignored.begin(Some(&header));
        assert!(context.sampled && parent.is_none());
        assert_ne!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    }
}
