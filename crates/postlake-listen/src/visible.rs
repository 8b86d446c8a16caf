//! Control characters made visible, so that text from outside can neither drive a terminal nor
//! reorder a page.

use std::borrow::Cow;

/// The text with control, invisible and direction-changing characters written as escapes: `\n`, `\t`,
/// `\u{1b}`. Everything else stays as it is.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if hidden(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_shown() {
        let cases = [
            ("plain é 日本", "plain é 日本"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\u{7f}\u{9b}b", "a\\u{7f}\\u{9b}b"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
        ];
        for (text, expected) in cases {
            assert_eq!(visible(text), expected);
        }
    }
}
