//! Where an item lies, as people write it: `<stream>/<segment>/<batch>/<item>`.

use std::fmt;
use std::str::FromStr;

use postlake_raw::{SegmentKey, SegmentNumber, StreamName};

use crate::positions::number_of;

/// The place of an item of a batch, of a whole body (`-` for the item), or of a whole segment (the first
/// two parts alone).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemPlace {
    /// The segment.
    pub segment: SegmentKey,
    /// The batch in it, from 0; none for the whole segment.
    pub batch_index: Option<i64>,
    /// The item in the body, from 0; none for the whole body.
    pub item_index: Option<i64>,
}

/// The text is no place of an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place; write it as `quarantine list` does: <stream>/<segment>/<batch>/<item>")]
pub struct PlaceError(String);

impl ItemPlace {
    /// The place that columns of the lake name; a batch below 0 stands for the whole segment.
    pub fn of_columns(
        stream: &str,
        segment: i64,
        batch_index: i64,
        item_index: Option<i64>,
    ) -> Option<ItemPlace> {
        let number = SegmentNumber::new(u64::try_from(segment).ok()?).ok()?;
        Some(ItemPlace {
            segment: SegmentKey::new(StreamName::parse(stream).ok()?, number),
            batch_index: (batch_index >= 0).then_some(batch_index),
            item_index,
        })
    }

    fn parse(text: &str) -> Option<ItemPlace> {
        let mut parts = text.split('/');
        let stream = StreamName::parse(parts.next()?).ok()?;
        let number = SegmentNumber::new(index(parts.next()?)?.try_into().ok()?).ok()?;
        let segment = SegmentKey::new(stream, number);
        let (batch_index, item_index) = match (parts.next(), parts.next()) {
            (None, _) => (None, None),
            (Some(batch), None | Some("-")) => (Some(index(batch)?), None),
            (Some(batch), Some(item)) => (Some(index(batch)?), Some(index(item)?)),
        };
        let place = ItemPlace {
            segment,
            batch_index,
            item_index,
        };
        parts.next().is_none().then_some(place)
    }
}

fn index(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for ItemPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = self.segment.stream();
        write!(formatter, "{stream}/{}", number_of(&self.segment))?;
        match (self.batch_index, self.item_index) {
            (None, _) => Ok(()),
            (Some(batch), None) => write!(formatter, "/{batch}/-"),
            (Some(batch), Some(item)) => write!(formatter, "/{batch}/{item}"),
        }
    }
}

impl FromStr for ItemPlace {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<ItemPlace, PlaceError> {
        ItemPlace::parse(text).ok_or_else(|| PlaceError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let stream = "20260301T120000Z-0000000000000007";
        for end in ["/1/0/2", "/12/3/-", "/1"] {
            let text = format!("{stream}{end}");
            assert_eq!(text.parse::<ItemPlace>().unwrap().to_string(), text);
        }
        let whole: ItemPlace = format!("{stream}/1/4").parse().unwrap();
        assert_eq!(whole.to_string(), format!("{stream}/1/4/-"));
        assert_eq!(ItemPlace::of_columns(stream, 1, 4, None), Some(whole));
        let segment = ItemPlace::of_columns(stream, 1, -1, None).unwrap();
        assert_eq!(segment.to_string(), format!("{stream}/1"));
        for end in ["", "/0", "/x", "/1/-1", "/1/+1/1", "/1/1/1/1", "/1//1"] {
            assert!(
                format!("{stream}{end}").parse::<ItemPlace>().is_err(),
                "{end}"
            );
        }
        assert!("../1/1/1".parse::<ItemPlace>().is_err());
    }
}
