//! When a certificate begins and ends: the fields of X.509 that the TLS library does not tell.
//!
//! Read by hand (RFC 5280, section 4.1, in DER), since all that stands before it can be skipped by
//! its length.

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SECS_PER_DAY: i64 = 24 * 3600;

/// From when to when a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before_secs: i64,
    /// The last second.
    pub not_after_secs: i64,
}

impl Validity {
    /// Of a certificate in DER, or `None` when it is no certificate.
    pub fn of(certificate: &[u8]) -> Option<Validity> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(certificate, SEQUENCE)?;
        if rest.first() == Some(&VERSION) {
            rest = skip(rest)?;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            rest = skip(rest)?;
        }
        let (validity, _) = element(rest, SEQUENCE)?;
        Some(Validity {
            not_before_secs: time(validity)?,
            not_after_secs: time(skip(validity)?)?,
        })
    }
}

/// The time at the start, in either of its forms.
fn time(bytes: &[u8]) -> Option<i64> {
    match *bytes.first()? {
        UTC_TIME => {
            let (text, _) = element(bytes, UTC_TIME)?;
            let year = number(text.get(..2)?)?;
            // RFC 5280, section 4.1.2.5.1.
            let century = if year < 50 { 2000 } else { 1900 };
            seconds(century + year, text.get(2..)?)
        }
        GENERALIZED_TIME => {
            let (text, _) = element(bytes, GENERALIZED_TIME)?;
            seconds(number(text.get(..4)?)?, text.get(4..)?)
        }
        _ => None,
    }
}

/// The content of the element at the start, if it has that tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (length, rest) = length(rest)?;
    (found == tag).then_some(())?;
    rest.split_at_checked(length)
}

fn skip(bytes: &[u8]) -> Option<&[u8]> {
    let (&tag, _) = bytes.split_first()?;
    element(bytes, tag).map(|(_, rest)| rest)
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(count)?;
    let length = digits
        .iter()
        .fold(0, |length, digit| length << 8 | usize::from(*digit));
    Some((length, rest))
}

/// `MMDDHHMMSSZ`, the one form that RFC 5280 allows.
fn seconds(year: i64, text: &[u8]) -> Option<i64> {
    if text.len() != 11 || text.last() != Some(&b'Z') {
        return None;
    }
    let part = |index: usize| number(text.get(2 * index..2 * index + 2)?);
    let (month, day) = (part(0)?, part(1)?);
    let (hour, minute, second) = (part(2)?, part(3)?, part(4)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    Some(days * SECS_PER_DAY + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to the first of a month. Years are counted from March, so that the leap day
/// is the last one.
fn days_before(year: i64, month: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 - 719_468
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn begin_and_end_of_a_certificate_are_read() {
        let cases = [
            ((1970, 1, 1), 0),
            ((1999, 12, 31), 946_598_400),
            ((2000, 2, 29), 951_782_400),
            ((2026, 11, 22), 1_795_305_600),
            ((2049, 12, 31), 2_524_521_600),
            // From 2050 on the other form of a time is used.
            ((2050, 1, 1), 2_524_608_000),
            ((2100, 3, 1), 4_107_542_400),
        ];
        for ((year, month, day), expected) in cases {
            let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
            params.not_before = date_time_ymd(1960, 1, 1);
            params.not_after = date_time_ymd(year, month, day);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let validity = Validity {
                not_before_secs: -315_619_200,
                not_after_secs: expected,
            };
            assert_eq!(Validity::of(certificate.der()), Some(validity), "{year}");
        }
    }

    #[test]
    fn any_cut_of_a_certificate_is_no_certificate_and_no_panic() {
        let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let whole = certificate.der().to_vec();
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None, "{end}");
        }
        for index in 0..whole.len() {
            let mut changed = whole.clone();
            changed[index] ^= 0xff;
            let _any = Validity::of(&changed);
        }
    }
}
