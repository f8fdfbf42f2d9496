//! Compressed request bodies (RFC 9110 §8.4).
//!
//! Invariant: the output never exceeds the limit. The number of parts of the input is bounded too, because otherwise
//! many empty parts could cost time without output.

use std::io::{self, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use zlib_rs::{Inflate, InflateFlush, Status};

/// The largest window of a zstd frame (8 MiB, as RFC 8878 §3.1.1.1.2 recommends).
const ZSTD_WINDOW: u64 = 8 << 20;
const BROTLI_BUFFER: usize = 4096;
/// The maximum number of gzip members or zstd frames in a body. Tools that compress in pieces use 64 KB or more for
/// each.
const MEMBERS: usize = 64;
/// The maximum number of deflate or zstd blocks in a body. If 1/1024 of the limit in bytes is larger, that is the
/// maximum. Compressors put tens of kilobytes into a block, unless their caller flushes.
const BLOCKS: usize = 4096;
/// The output of one step of deflate, in bytes.
const STEP: usize = 8192;
/// The window of deflate (32 KB) as zlib encodes it, in the zlib format and in the gzip format.
const WINDOW: u8 = 15;
const GZIP_WINDOW: u8 = 16 + WINDOW;

/// A supported content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// `gzip`, also as `x-gzip`.
    Gzip,
    /// `deflate`: the zlib format, or raw deflate, which some clients send.
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

/// The `Content-Encoding` is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Content-Encoding is not one that is read here")]
pub struct UnsupportedCoding;

/// A body that cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body does not follow its coding, or is truncated.
    #[error("the body is not valid {}", .0.name())]
    Malformed(ContentCoding),
    /// The output exceeds the limit, in bytes.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    /// The body has more members, frames or blocks than any compressor makes.
    #[error("the body is compressed in too many parts")]
    TooManyParts,
}

/// Why a body cannot be decompressed, for any coding.
enum Failure {
    Malformed,
    TooManyParts,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Malformed
    }
}

/// The output so far, and its limits.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
    /// The number of blocks that may still follow.
    blocks: usize,
}

impl Output {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, blocks: BLOCKS.max(limit / 1024) }
    }

    fn is_over(&self) -> bool {
        self.bytes.len() > self.limit
    }

    fn count_block(&mut self) -> Result<(), Failure> {
        self.blocks = self.blocks.checked_sub(1).ok_or(Failure::TooManyParts)?;
        Ok(())
    }

    /// Reads at most one byte past the limit.
    fn read(&mut self, decoder: impl Read) -> io::Result<()> {
        let rest = self.limit.saturating_add(1).saturating_sub(self.bytes.len());
        decoder.take(rest as u64).read_to_end(&mut self.bytes).map(|_length| ())
    }

    /// Decompresses one stream of deflate, block by block. Returns the rest of `bytes` after it.
    fn inflate<'a>(
        &mut self,
        mut stream: Inflate,
        mut bytes: &'a [u8],
    ) -> Result<&'a [u8], Failure> {
        while !self.is_over() {
            let length = self.bytes.len();
            let rest = self.limit.saturating_add(1) - length;
            self.bytes.resize(length + rest.min(STEP), 0);
            let (taken, made) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(bytes, &mut self.bytes[length..], InflateFlush::Block);
            bytes = &bytes[(stream.total_in() - taken) as usize..];
            self.bytes.truncate(length + (stream.total_out() - made) as usize);
            match status {
                Ok(Status::StreamEnd) => break,
                Ok(Status::Ok) => self.count_block()?,
                Ok(Status::BufError) | Err(_) => return Err(Failure::Malformed),
            }
        }
        Ok(bytes)
    }
}

impl ContentCoding {
    /// All codings.
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// The name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Reads a `Content-Encoding`, in any case. `None` for `identity` and for empty text.
    ///
    /// # Errors
    /// The coding is unknown, or there is more than one.
    ///
    /// ```
    /// use negotiate::{ContentCoding, UnsupportedCoding};
    ///
    /// assert_eq!(ContentCoding::parse("X-GZIP"), Ok(Some(ContentCoding::Gzip)));
    /// assert_eq!(ContentCoding::parse("identity"), Ok(None));
    /// assert_eq!(ContentCoding::parse("gzip, br"), Err(UnsupportedCoding));
    /// ```
    pub fn parse(header: &str) -> Result<Option<Self>, UnsupportedCoding> {
        let name = header.trim();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if name.is_empty() || is("identity") {
            return Ok(None);
        }
        if is("x-gzip") {
            return Ok(Some(Self::Gzip));
        }
        let found = Self::ALL.into_iter().find(|coding| is(coding.name()));
        found.map(Some).ok_or(UnsupportedCoding)
    }

    /// Decompresses a body to at most `limit` bytes. The decoder may take another 32 MiB for its window.
    ///
    /// # Errors
    /// The body is malformed, in too many parts, or longer than the limit.
    pub fn decode(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let mut output = Output::new(limit);
        let outcome = match self {
            Self::Gzip => gzip(bytes, &mut output),
            Self::Deflate => {
                let stream = Inflate::new(has_zlib_header(bytes), WINDOW);
                output.inflate(stream, bytes).map(|_rest| ())
            }
            Self::Brotli if has_large_window(bytes) => Err(Failure::Malformed),
            Self::Brotli => {
                let decoder = brotli_decompressor::Decompressor::new(bytes, BROTLI_BUFFER);
                output.read(decoder).map_err(Failure::from)
            }
            Self::Zstd => zstd(bytes, &mut output),
        };
        match outcome {
            Ok(()) if output.is_over() => Err(DecodeError::TooLong(limit)),
            Ok(()) => Ok(output.bytes),
            Err(Failure::Malformed) => Err(DecodeError::Malformed(self)),
            Err(Failure::TooManyParts) => Err(DecodeError::TooManyParts),
        }
    }
}

/// Decompresses gzip: a sequence of members (RFC 1952 §2.2).
fn gzip(mut bytes: &[u8], output: &mut Output) -> Result<(), Failure> {
    for _member in 0..MEMBERS {
        bytes = output.inflate(Inflate::new(true, GZIP_WINDOW), bytes)?;
        if bytes.is_empty() || output.is_over() {
            return Ok(());
        }
    }
    Err(Failure::TooManyParts)
}

/// Decompresses zstd: a sequence of frames (RFC 8878 §3). Skippable frames have no output (§3.1.2).
fn zstd(mut bytes: &[u8], output: &mut Output) -> Result<(), Failure> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW);
    for _frame in 0..MEMBERS {
        match decoder.reset(&mut bytes) {
            Ok(()) => zstd_frame(&mut decoder, &mut bytes, output)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => bytes = bytes.get(length as usize..).ok_or(Failure::Malformed)?,
            Err(_malformed) => return Err(Failure::Malformed),
        }
        if bytes.is_empty() || output.is_over() {
            return Ok(());
        }
    }
    Err(Failure::TooManyParts)
}

fn zstd_frame(
    decoder: &mut FrameDecoder,
    bytes: &mut &[u8],
    output: &mut Output,
) -> Result<(), Failure> {
    while !decoder.is_finished() {
        let block = decoder.decode_blocks(&mut *bytes, BlockDecodingStrategy::UptoBlocks(1));
        block.map_err(|_malformed| Failure::Malformed)?;
        output.count_block()?;
        output.read(&mut *decoder)?;
        if output.is_over() {
            return Ok(());
        }
    }
    let checksum = decoder.get_checksum_from_data();
    let is_right = checksum.is_none() || checksum == decoder.get_calculated_checksum();
    if is_right { Ok(()) } else { Err(Failure::Malformed) }
}

/// Whether the window size is the one that RFC 7932 §9.1 reserves. Decoders read it as up to 1 GiB.
fn has_large_window(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x7f == 0x11)
}

/// Whether there is a zlib header (RFC 1950 §2.2): the method is 8, and the first two bytes are a multiple of 31.
fn has_zlib_header(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("gzip")
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("zlib")
    }

    fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("deflate")
    }

    /// `{"Key":1}` as the `brotli` command writes it.
    const BROTLI: &[u8] = b"\x0b\x04\x80{\"Key\":1}\x03";

    /// A hundred million spaces in brotli.
    const BROTLI_BOMB: &[u8] = b"\xcf\xff\xff\x7f\xf8\x25\x40\xe2\xb1\x40\x20\xf7\xfe\x9f\xff\xff\
        \xff\x04\xb0\x0c\x46\x10\x18\x0e\xef\xd3\xff\xff\xff\xfe\x19\x70\x08\x8c\x32\x20\x0d\xdf\xb7\
        \xff\xef\xff\xfc\x32\xf0\x11\x08\x70\x50\x0b\xaf\x7f\xff\xcf\xff\xf8\x75\xf0\x22\x00\xe0\xb0\
        \x07\x4e\xff\xf3\x1f\xbc\x1e\xbf\x04\x40\x1c\x16\x00\xe8\x62\xd7\x03";

    /// CONTRACT 13: the four codings.
    #[test]
    fn each_coding_is_read() {
        let body = br#"{"Key":1}"#;
        let zstd = zstd::encode_all(&body[..], 3).expect("zstd");
        let twice = [gzip(br#"{"Key""#), gzip(b":1}")].concat();
        for (coding, bytes) in [
            (ContentCoding::Gzip, &gzip(body)),
            (ContentCoding::Gzip, &twice),
            (ContentCoding::Deflate, &zlib(body)),
            (ContentCoding::Deflate, &raw_deflate(body)),
            (ContentCoding::Brotli, &BROTLI.to_vec()),
            (ContentCoding::Zstd, &zstd),
        ] {
            assert_eq!(coding.decode(bytes, 9).as_deref(), Ok(&body[..]), "{coding:?}");
            assert_eq!(coding.decode(bytes, 8), Err(DecodeError::TooLong(8)), "{coding:?}");
            let half = &bytes[..bytes.len() / 2];
            let malformed = Err(DecodeError::Malformed(coding));
            assert_eq!(coding.decode(half, 9), malformed, "{coding:?}");
            assert_eq!(coding.decode(b"not compressed", 100), malformed, "{coding:?}");
        }
    }

    /// CONTRACT 13, RFC 8878 §3: frames follow each other, some hold nothing, and some have a checksum.
    #[test]
    fn a_body_of_several_zstd_frames_is_read() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("zstd");
        encoder.include_checksum(true).expect("checksum");
        encoder.write_all(br#"{"Key""#).expect("write");
        let checked = encoder.finish().expect("zstd");
        let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0???";
        let rest = zstd::encode_all(&b":1}"[..], 3).expect("zstd");
        let body = [&skipped[..], &checked, skipped, &rest].concat();
        let decode = |bytes: &[u8], limit| ContentCoding::Zstd.decode(bytes, limit);
        assert_eq!(decode(&body, 9).as_deref(), Ok(&br#"{"Key":1}"#[..]));
        assert_eq!(decode(&body, 8), Err(DecodeError::TooLong(8)));
        let malformed = Err(DecodeError::Malformed(ContentCoding::Zstd));
        assert_eq!(decode(b"", 9), malformed);
        assert_eq!(decode(&skipped[..9], 9), malformed);
        let mut changed = checked;
        *changed.last_mut().expect("a checksum") ^= 1;
        assert_eq!(decode(&changed, 9), malformed);
    }

    /// CONTRACT 13: the limit counts what comes out; a bomb is not unpacked to find out.
    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 100_000_000];
        for (coding, bomb) in [
            (ContentCoding::Gzip, gzip(&zeros)),
            (ContentCoding::Deflate, zlib(&zeros)),
            (ContentCoding::Brotli, BROTLI_BOMB.to_vec()),
            (ContentCoding::Zstd, zstd::encode_all(&zeros[..], 1).expect("zstd")),
        ] {
            assert!(bomb.len() < 100_000, "{coding:?}");
            assert_eq!(coding.decode(&bomb, 1000), Err(DecodeError::TooLong(1000)), "{coding:?}");
        }
    }

    /// Bits, the lowest first.
    fn bits(groups: &[(u32, u32)], times: usize) -> Vec<u8> {
        let all = groups.iter().cycle().take(groups.len() * times);
        let bits = all.flat_map(|(value, count)| (0..*count).map(move |bit| (value >> bit) & 1));
        let bits: Vec<u32> = bits.collect();
        let byte = |bits: &[u32]| bits.iter().rev().fold(0, |byte, bit| (byte << 1) | *bit as u8);
        bits.chunks(8).map(byte).collect()
    }

    /// CONTRACT 13: the number of parts bounds the work. A body with the maximum number of parts is read.
    #[test]
    fn a_body_of_many_parts_is_refused() {
        let decode = |coding: ContentCoding, bytes: &[u8]| coding.decode(bytes, 1 << 20);
        let too_many = Err(DecodeError::TooManyParts);
        let member = gzip(b"x");
        let frame = zstd::encode_all(&b"x"[..], 3).expect("zstd");
        for (coding, part) in [(ContentCoding::Gzip, member), (ContentCoding::Zstd, frame)] {
            let parts = decode(coding, &part.repeat(MEMBERS)).map(|body| body.len());
            assert_eq!(parts, Ok(MEMBERS), "{coding:?}");
            assert_eq!(decode(coding, &part.repeat(MEMBERS + 1)), too_many, "{coding:?}");
        }
        let skipped = b"\x50\x2a\x4d\x18\0\0\0\0".repeat(MEMBERS + 1);
        assert_eq!(decode(ContentCoding::Zstd, &skipped), too_many);

        let stored = b"\0\0\0\xff\xff";
        let fixed = [(2, 3), (0, 7)];
        let last = b"\x03\0";
        for count in [1000, BLOCKS + 1] {
            let expected = if count > BLOCKS { too_many.clone() } else { Ok(Vec::new()) };
            let blocks = [&stored.repeat(count), &last[..]].concat();
            assert_eq!(decode(ContentCoding::Deflate, &blocks), expected);
            // A multiple of eight, so that the last one begins with a byte.
            let blocks = [&bits(&fixed, count.next_multiple_of(8))[..], last].concat();
            assert_eq!(decode(ContentCoding::Deflate, &blocks), expected);
            let frame = [&b"\x28\xb5\x2f\xfd\0\0"[..], &b"\0\0\0".repeat(count), b"\x01\0\0"];
            assert_eq!(decode(ContentCoding::Zstd, &frame.concat()), expected);
        }
        // A longer body may have more of them.
        let blocks = [&stored.repeat(BLOCKS + 1), &last[..]].concat();
        assert_eq!(ContentCoding::Deflate.decode(&blocks, 100 << 20), Ok(Vec::new()));
    }

    /// CONTRACT 13: the longest body is read from any compressor, also if it flushes often.
    #[test]
    fn a_long_body_is_read() {
        let body: Vec<u8> =
            (0..1 << 20).map(|number: u32| (number.wrapping_mul(number) >> 7) as u8).collect();
        let mut flushed = ZlibEncoder::new(Vec::new(), Compression::fast());
        for piece in body.chunks(1024) {
            flushed.write_all(piece).and_then(|()| flushed.flush()).expect("zlib");
        }
        for (coding, bytes) in [
            (ContentCoding::Gzip, gzip(&body)),
            (ContentCoding::Deflate, flushed.finish().expect("zlib")),
            (ContentCoding::Zstd, zstd::encode_all(&body[..], 3).expect("zstd")),
        ] {
            assert!(coding.decode(&bytes, 1 << 20).is_ok_and(|read| read == body), "{coding:?}");
        }
    }

    /// A frame of a few bytes must not make the server take memory for its window.
    #[test]
    fn a_large_window_is_refused() {
        let large = [b"\x11\x18", &BROTLI[1..]].concat();
        let malformed = Err(DecodeError::Malformed(ContentCoding::Brotli));
        assert_eq!(ContentCoding::Brotli.decode(&large, 100), malformed);

        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
        encoder.window_log(27).expect("window");
        encoder.write_all(b"{}").expect("write");
        let frame = encoder.finish().expect("zstd");
        let malformed = Err(DecodeError::Malformed(ContentCoding::Zstd));
        assert_eq!(ContentCoding::Zstd.decode(&frame, 100), malformed);
    }

    #[test]
    fn no_limit_is_too_large() {
        assert_eq!(ContentCoding::Brotli.decode(BROTLI, usize::MAX).map(|body| body.len()), Ok(9));
    }
}
