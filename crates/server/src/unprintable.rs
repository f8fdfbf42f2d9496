//! Characters that lines for people never contain as they are: they would end a line, control a terminal, hide, or turn
//! the direction of text.
//!
//! Invariant: each of them has one UTF-16 unit, so that `\u` and four digits are its escape in JSON.

/// Returns whether a character must be escaped.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}
