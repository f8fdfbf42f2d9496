//! The characters that XML 1.0 can hold.
//!
//! Invariant: reading and writing use the same rule, so every text that is written can be read.

/// Whether an XML 1.0 document may have the character, also by reference (XML 1.0 §2.2).
pub(crate) fn is_xml_char(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
