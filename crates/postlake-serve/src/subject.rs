//! Whom a row is about: the whole account, the primary account or one subaccount.

use std::fmt;
use std::str::FromStr;

/// Account or subaccount of a score. The sender's alerts leave the field out for the whole account
/// and write 0 for the primary account; the two are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subaccount {
    /// Primary account and all subaccounts together (`null` in tables).
    WholeAccount,
    /// The primary account (0 in tables).
    Primary,
    /// A subaccount by its number.
    Number(i64),
}

impl Subaccount {
    /// From the column `subaccount_id` of `alerts` and the score views.
    pub fn from_column(id: Option<i64>) -> Subaccount {
        match id {
            None => Subaccount::WholeAccount,
            Some(0) => Subaccount::Primary,
            Some(number) => Subaccount::Number(number),
        }
    }

    /// The value of the column `subaccount_id`.
    pub fn column(self) -> Option<i64> {
        match self {
            Subaccount::WholeAccount => None,
            Subaccount::Primary => Some(0),
            Subaccount::Number(number) => Some(number),
        }
    }

    /// The name in paths: `account`, `0` or the number.
    pub fn path_segment(self) -> String {
        match self.column() {
            None => "account".to_owned(),
            Some(number) => number.to_string(),
        }
    }
}

impl fmt::Display for Subaccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subaccount::WholeAccount => f.write_str("whole account"),
            Subaccount::Primary => f.write_str("primary account"),
            Subaccount::Number(number) => write!(f, "subaccount {number}"),
        }
    }
}

/// The text names no account: neither `account` nor a whole number from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither `account` nor a subaccount number")]
pub struct NotASubaccount;

impl FromStr for Subaccount {
    type Err = NotASubaccount;

    fn from_str(text: &str) -> Result<Subaccount, NotASubaccount> {
        if text == "account" {
            return Ok(Subaccount::WholeAccount);
        }
        match text.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(Subaccount::from_column(Some(number))),
            _ => Err(NotASubaccount),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_primary_and_numbers_are_told_apart() {
        let cases = [
            ("account", Subaccount::WholeAccount, "whole account"),
            ("0", Subaccount::Primary, "primary account"),
            ("6257", Subaccount::Number(6257), "subaccount 6257"),
        ];
        for (text, subaccount, name) in cases {
            assert_eq!(text.parse(), Ok(subaccount));
            assert_eq!(subaccount.to_string(), name);
            assert_eq!(subaccount.path_segment(), text);
            assert_eq!(Subaccount::from_column(subaccount.column()), subaccount);
        }
        for wrong in ["", "-1", "x", "1.5", "99999999999999999999"] {
            assert_eq!(wrong.parse::<Subaccount>(), Err(NotASubaccount));
        }
    }
}
