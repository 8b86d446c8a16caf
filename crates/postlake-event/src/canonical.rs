//! Canonical JSON: the same text for values that mean the same, whatever the order of their keys.
//!
//! Objects are written with sorted keys and without white space (of equal keys the last wins),
//! strings in one spelling, numbers with their digits as sent (no rounding through a float).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The canonical text of a JSON value.
///
/// # Errors
/// When `json` is not well-formed. Nests as deep as `json` does; callers bound that first.
pub(crate) fn canonical(json: &str) -> Result<String, serde_json::Error> {
    let mut out = String::with_capacity(json.len());
    write(serde_json::from_str(json)?, &mut out)?;
    Ok(out)
}

fn write(value: &RawValue, out: &mut String) -> Result<(), serde_json::Error> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => write_object(&serde_json::from_str(text)?, out),
        Some(b'[') => write_array(&serde_json::from_str::<Vec<&RawValue>>(text)?, out),
        Some(b'"') => {
            let string: String = serde_json::from_str(text)?;
            out.push_str(&serde_json::to_string(&string)?);
            Ok(())
        }
        _ => {
            out.push_str(text);
            Ok(())
        }
    }
}

fn write_object(
    fields: &BTreeMap<String, &RawValue>,
    out: &mut String,
) -> Result<(), serde_json::Error> {
    out.push('{');
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&serde_json::to_string(key)?);
        out.push(':');
        write(value, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_array(values: &[&RawValue], out: &mut String) -> Result<(), serde_json::Error> {
    out.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(value, out)?;
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(canonical(json).unwrap(), expected);
    }

    #[test]
    fn order_and_space_do_not_matter_and_digits_stay() {
        check(
            r#" { "b" : [1, 2.50] , "a" : {} } "#,
            r#"{"a":{},"b":[1,2.50]}"#,
        );
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
        check(r#""\u0041""#, r#""A""#);
        check(
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        );
    }

    #[test]
    fn broken_json_is_an_error() {
        assert!(canonical("{").is_err());
        assert!(canonical("").is_err());
    }
}
