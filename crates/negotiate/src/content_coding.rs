//! Compressed request bodies (CONTRACT 13, RFC 9110 §8.4).
//!
//! Invariant: no more than the limit is ever held of what comes out, however little went in.

use std::io::{self, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{
    FrameDecoder, StreamingDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

/// The largest window that a zstd frame may ask for (8 MiB, as RFC 8878 §3.1.1.1.2 recommends).
const ZSTD_WINDOW: u64 = 8 << 20;
const BROTLI_BUFFER: usize = 4096;

/// A content coding that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// `gzip`, also as `x-gzip`.
    Gzip,
    /// `deflate`: the zlib format, or without its frame as some clients send it.
    Deflate,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
}

/// A `Content-Encoding` other than one of those that are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Content-Encoding is not one that is read here")]
pub struct UnsupportedCoding;

/// A body that cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not what its coding says, or breaks off.
    #[error("the body is not valid {}", .0.name())]
    Malformed(ContentCoding),
    /// More comes out than the limit.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
}

impl ContentCoding {
    /// All of them.
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

    /// Reads a `Content-Encoding`, in any case. `identity`, and nothing, are no coding; more than
    /// one is not read here.
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

    /// What `bytes` decompress to, up to `limit` bytes. Beside them the decoder may take 32 MiB for its
    /// window.
    ///
    /// # Errors
    /// It is malformed, or longer than the limit.
    pub fn decode(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let decoded = match self {
            Self::Gzip => read(MultiGzDecoder::new(bytes), limit),
            Self::Deflate if has_zlib_header(bytes) => read(ZlibDecoder::new(bytes), limit),
            Self::Deflate => read(DeflateDecoder::new(bytes), limit),
            Self::Brotli if has_large_window(bytes) => Err(io::ErrorKind::InvalidData.into()),
            Self::Brotli => {
                read(brotli_decompressor::Decompressor::new(bytes, BROTLI_BUFFER), limit)
            }
            Self::Zstd => zstd(bytes, limit),
        };
        let decoded = decoded.map_err(|_malformed| DecodeError::Malformed(self))?;
        if decoded.len() > limit { Err(DecodeError::TooLong(limit)) } else { Ok(decoded) }
    }
}

/// Frames follow each other (RFC 8878 §3), and those that may be skipped hold nothing (§3.1.2).
fn zstd(mut bytes: &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW);
    let mut decoded = Vec::new();
    loop {
        match StreamingDecoder::new_with_decoder(&mut bytes, &mut decoder) {
            Ok(frame) => decoded.append(&mut read(frame, limit - decoded.len())?),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => bytes = bytes.get(length as usize..).ok_or(io::ErrorKind::UnexpectedEof)?,
            Err(malformed) => return Err(io::Error::other(malformed)),
        }
        if decoded.len() > limit {
            return Ok(decoded);
        }
        let checksum = decoder.get_checksum_from_data();
        if checksum.is_some() && checksum != decoder.get_calculated_checksum() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if bytes.is_empty() {
            return Ok(decoded);
        }
    }
}

/// Reads one byte past the limit at most.
fn read(decoder: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    decoder.take((limit as u64).saturating_add(1)).read_to_end(&mut decoded)?;
    Ok(decoded)
}

/// The window size that RFC 7932 §9.1 reserves, and decoders take for one of up to 1 GiB.
fn has_large_window(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x7f == 0x11)
}

/// RFC 1950 §2.2: the method is 8, and the first two bytes are a multiple of 31.
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
