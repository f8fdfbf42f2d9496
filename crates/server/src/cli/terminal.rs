//! Text that goes to a terminal.
//!
//! Invariant: text from a file or a database changes nothing on a terminal except the position of the cursor.

use std::fmt::Write as _;

use crate::unprintable::is_unprintable;

/// The text in lines, with every other control character, and what changes the direction of text, as an escape.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |character| character != '\n')
}

/// The text in one line, likewise.
pub(crate) fn line(text: &str) -> String {
    escaped(text, |_any| true)
}

/// JSON, which has escapes of its own for all but some of them.
pub(crate) fn json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unprintable(character) && character != '\n' {
            write!(shown, "\\u{:04x}", u32::from(character))
                .expect("writing to a string does not fail");
        } else {
            shown.push(character);
        }
    }
    shown
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unprintable(character) && is_escaped(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        let text = "a\u{1b}[2J\u{9b}31m\u{202e}\rå\nb";
        assert_eq!(line(text), r"a\u{1b}[2J\u{9b}31m\u{202e}\u{d}å\u{a}b");
        assert_eq!(lines(text), "a\\u{1b}[2J\\u{9b}31m\\u{202e}\\u{d}å\nb");
        let printed = json(&serde_json::to_string_pretty(&[text]).expect("JSON"));
        assert!(!printed.contains(|c: char| is_unprintable(c) && c != '\n'), "{printed}");
        let read: Vec<String> = serde_json::from_str(&printed).expect("JSON");
        assert_eq!(read, [text]);
    }
}
