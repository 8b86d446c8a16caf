//! Control characters made visible, so that text from outside can neither drive a terminal nor
//! reorder a page.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with control and direction-changing characters replaced by visible ones: line ends and
/// other C0 controls by their Unicode pictures, the rest by `\u{...}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            _ if !hidden(character) => shown.push(character),
            '\u{7f}' => shown.push('\u{2421}'),
            '\0'..='\u{1f}' => shown.push(picture(character)),
            _ => write!(shown, "\\u{{{:x}}}", u32::from(character))
                .expect("writing to a String cannot fail"),
        }
    }
    Cow::Owned(shown)
}

/// The "control pictures" block starts at U+2400 and follows the order of the C0 controls.
fn picture(control: char) -> char {
    char::from_u32(0x2400 + u32::from(control)).unwrap_or(char::REPLACEMENT_CHARACTER)
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
            ("a\r\nb\tc", "a␍␊b␉c"),
            ("\u{1b}[31mred", "␛[31mred"),
            ("a\u{7f}\u{9b}b", "a␡\\u{9b}b"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
        ];
        for (text, expected) in cases {
            assert_eq!(visible(text), expected);
        }
    }
}
