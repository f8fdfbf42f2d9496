//! The key that a save returns and a get needs.
//!
//! Invariant: a `RetrievalKey` is well-formed and its checksum is right. Its text has 63 characters: `lk_`, the
//! record's id (11 base62 digits), 256 random bits (43 digits) and a CRC-32 of all before it (6 digits). The checksum
//! detects a typo without the database, and lets a scanner recognise a leaked key.

use std::{fmt, ops::Range};

use crate::{SecretText, base62};

const PREFIX: &str = "lk_";
const ID_DIGITS: usize = 11;
const SECRET_DIGITS: usize = 43;
const CHECKSUM_DIGITS: usize = 6;
const LENGTH: usize = PREFIX.len() + ID_DIGITS + SECRET_DIGITS + CHECKSUM_DIGITS;

/// A stored record's number: positive, and larger for records saved later.
///
/// It holds the microseconds since 2026-01-01 UTC (51 bits, until 2097) and 12 random bits, so it needs no central
/// counter. It reveals a time but never a count. It is not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(i64);

impl RecordId {
    const EPOCH_MICROSECONDS: i64 = 1_767_225_600_000_000;
    const RANDOM_BITS: u32 = 12;

    /// The times, in microseconds since 1970 UTC, that an id can hold. The ids of records saved at other times must be
    /// random, because only 4,096 ids share one time.
    pub const TIMES: Range<i64> =
        Self::EPOCH_MICROSECONDS..Self::EPOCH_MICROSECONDS + (1 << (63 - Self::RANDOM_BITS));

    /// Returns the id of a record saved at `unix_microseconds`. The low 12 bits of `random` distinguish the records of
    /// one microsecond. A time before 2026 counts as 2026-01-01.
    pub fn at(unix_microseconds: i64, random: u16) -> Self {
        let elapsed = unix_microseconds.saturating_sub(Self::EPOCH_MICROSECONDS).max(0);
        let time = elapsed.min(i64::MAX >> Self::RANDOM_BITS) << Self::RANDOM_BITS;
        Self(time | i64::from(random & ((1 << Self::RANDOM_BITS) - 1)))
    }

    /// Returns the id with this number, or `None` if the number is negative.
    pub fn from_i64(number: i64) -> Option<Self> {
        (number >= 0).then_some(Self(number))
    }

    /// Returns the number that the database stores.
    pub fn as_i64(self) -> i64 {
        self.0
    }

    /// Returns the id as text: the 11 digits after `lk_` in the record's key. Texts sort in the order of their ids.
    pub fn text(self) -> String {
        let mut text = String::with_capacity(ID_DIGITS);
        base62::encode(self.0.unsigned_abs(), ID_DIGITS, &mut text);
        text
    }

    /// Parses the output of `text`. Returns `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let number = base62::decode(text).filter(|_number| text.len() == ID_DIGITS)?;
        i64::try_from(number).ok().and_then(Self::from_i64)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The text is not a retrieval key of this product, or was mistyped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// It does not begin like a key. It is not a typo of one, and retrieves nothing.
    #[error("is not a key of this server: a key begins with `lk_`")]
    Foreign,
    /// It begins like a key, but has this wrong number of characters.
    #[error("is not a key of this server: a key is `lk_` and 60 letters and digits")]
    Length(usize),
    /// It begins like a key, but has characters that no key has.
    #[error("is not a key of this server: a key is `lk_` and 60 letters and digits")]
    Shape,
    /// The last six characters do not match the rest.
    #[error("is mistyped: its checksum is wrong")]
    Checksum,
}

/// The secret that opens one record and no other.
#[derive(Clone)]
pub struct RetrievalKey {
    id: RecordId,
    text: SecretText,
}

impl RetrievalKey {
    /// Creates the key of record `id` with the secret part `secret`, which must be random.
    pub fn new(id: RecordId, secret: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(LENGTH);
        text.push_str(PREFIX);
        base62::encode(id.0.unsigned_abs(), ID_DIGITS, &mut text);
        base62::encode_256(secret, &mut text);
        let checksum = crc32fast::hash(text.as_bytes());
        base62::encode(u64::from(checksum), CHECKSUM_DIGITS, &mut text);
        Self { id, text: text.into() }
    }

    /// The number of characters in a key.
    pub const LENGTH: usize = LENGTH;

    /// Parses a key as a client sent it (CONTRACT 8).
    pub fn parse(raw: &str) -> Result<Self, MalformedKey> {
        let digits = raw.strip_prefix(PREFIX).ok_or(MalformedKey::Foreign)?;
        let length = raw.chars().count();
        if length != LENGTH {
            return Err(MalformedKey::Length(length));
        }
        if !base62::is_base62(digits) {
            return Err(MalformedKey::Shape);
        }
        let (covered, checksum) = raw.split_at(LENGTH - CHECKSUM_DIGITS);
        if base62::decode(checksum) != Some(u64::from(crc32fast::hash(covered.as_bytes()))) {
            return Err(MalformedKey::Checksum);
        }
        let id = RecordId::parse(&digits[..ID_DIGITS]).ok_or(MalformedKey::Shape)?;
        Ok(Self { id, text: raw.into() })
    }

    /// Returns the record that this key names.
    pub fn record(&self) -> RecordId {
        self.id
    }

    /// Returns the key's text, to answer a save or to derive keys from.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

impl fmt::Debug for RetrievalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RetrievalKey(record {}, redacted)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_printed_key_parses_to_the_same_key(number in 0..=i64::MAX, secret: [u8; 32]) {
            let key = RetrievalKey::new(RecordId(number), &secret);
            let parsed = RetrievalKey::parse(key.expose()).expect("own key");
            prop_assert_eq!(parsed.record(), RecordId(number));
            prop_assert_eq!(parsed.expose(), key.expose());
            prop_assert!(key.expose().len() <= 64);
            prop_assert!(key.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }

        /// CONTRACT 8: a typo is distinguished from a key that does not exist.
        #[test]
        fn any_one_mistyped_character_is_refused(
            secret: [u8; 32],
            position in 0..LENGTH,
            typo in "[0-9A-Za-z_]",
        ) {
            let key = RetrievalKey::new(RecordId(1 << 50), &secret);
            let mut text = key.expose().to_owned();
            prop_assume!(text[position..=position] != typo);
            text.replace_range(position..=position, &typo);
            prop_assert!(RetrievalKey::parse(&text).is_err());
        }

        #[test]
        fn parsing_never_panics(raw: String) {
            let _ = RetrievalKey::parse(&raw);
        }
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let good = RetrievalKey::new(RecordId(7), &[9; 32]).expose().to_owned();
        let too_long = format!("{good}0");
        let snowman = format!("lk_{}", "☃".repeat(20));
        for raw in ["lk_", "lk_\0", &good[..62], &too_long, &snowman] {
            let length = MalformedKey::Length(raw.chars().count());
            assert_eq!(RetrievalKey::parse(raw).err(), Some(length), "{raw}");
        }
        for raw in [format!("lk_{}", "☃".repeat(60)), good.replacen("_0", "_\0", 1)] {
            assert_eq!(RetrievalKey::parse(&raw).err(), Some(MalformedKey::Shape), "{raw}");
        }
        for raw in ["", "nam", "6dd8a1f4", "LK_0", "lk", &good[1..], &"x".repeat(1 << 16)] {
            assert_eq!(RetrievalKey::parse(raw).err(), Some(MalformedKey::Foreign), "{raw}");
        }
        let swapped = good.replacen("lk_0", "lk_1", 1);
        assert_eq!(RetrievalKey::parse(&swapped).err(), Some(MalformedKey::Checksum));
    }

    #[test]
    fn later_records_have_larger_ids() {
        let at = |microseconds| RecordId::at(RecordId::EPOCH_MICROSECONDS + microseconds, 0xffff);
        assert!(at(0) < at(1));
        assert!(at(1) < at(40 * 365 * 86_400 * 1_000_000));
        assert_eq!(at(-5), at(0), "a clock before 2026");
        let last = RecordId::TIMES.end - 1;
        assert!(RecordId::at(last - 1, 0xffff) < RecordId::at(last, 0));
        assert!(!RecordId::TIMES.contains(&(RecordId::EPOCH_MICROSECONDS - 1)));
        assert_eq!(RecordId::at(i64::MAX, 0).as_i64() >> 12, i64::MAX >> 12, "a clock past 2097");
    }

    /// CONTRACT 37: a record's id is the part of its key after `lk_`, and nothing else is read as one.
    #[test]
    fn an_id_is_the_part_of_the_key_that_is_no_secret() {
        for number in [0, 7, 1 << 50, i64::MAX] {
            let id = RecordId(number);
            assert_eq!(id.text(), RetrievalKey::new(id, &[9; 32]).expose()[3..14]);
            assert_eq!(RecordId::parse(&id.text()), Some(id));
        }
        for bad in
            ["", "0", "0000000000", "000000000000", "zzzzzzzzzzz", "0000000000-", "lk_00000000"]
        {
            assert_eq!(RecordId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_does_not_print_itself() {
        let key = RetrievalKey::new(RecordId(7), &[9; 32]);
        assert_eq!(format!("{key:?}"), "RetrievalKey(record 00000000007, redacted)");
    }
}
