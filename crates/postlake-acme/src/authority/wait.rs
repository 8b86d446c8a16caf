//! `Retry-After` (RFC 9110, section 10.2.3).

use std::time::UNIX_EPOCH;

/// Until when to wait, in seconds since 1970; `None` for what is neither seconds nor a date.
pub(super) fn until(header: &str, now_secs: i64) -> Option<i64> {
    let header = header.trim();
    if let Ok(secs) = header.parse::<u32>() {
        return Some(now_secs.saturating_add(i64::from(secs)));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        let cases = [
            ("120", Some(1_120)),
            (" 0 ", Some(1_000)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(946_684_799)),
            ("soon", None),
            ("-1", None),
            ("", None),
            ("99999999999999999999", None),
        ];
        for (header, expected) in cases {
            assert_eq!(until(header, 1_000), expected, "{header}");
        }
    }
}
