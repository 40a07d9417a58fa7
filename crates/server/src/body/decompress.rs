//! Decompression that stops at a bound, whatever the input promises.

use std::io::Read;

use bytes::Bytes;
use http::{HeaderMap, header};

use super::{BodyError, ReadBody};
use crate::admission::Permit;

/// Bytes decompressed between two looks at the bounds.
const STEP_BYTES: usize = 64 * 1024;

/// Largest zstd window accepted, as a power of two: 8 MiB, what every decoder must support (RFC 8878, 3.1.1.1.2).
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Zstd,
}

impl Encoding {
    /// Returns the encoding that the request names; `None` for a plain body.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, BodyError> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(unknown(value.as_bytes()));
        }
        Self::named(value.as_bytes())
    }

    /// Returns the encoding with this name; `None` for none.
    pub(crate) fn named(name: &[u8]) -> Result<Option<Self>, BodyError> {
        let name = name.trim_ascii();
        let known = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        if name.is_empty() || known("identity") {
            Ok(None)
        } else if known("gzip") || known("x-gzip") {
            Ok(Some(Self::Gzip))
        } else if known("zstd") {
            Ok(Some(Self::Zstd))
        } else {
            Err(unknown(name))
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

fn unknown(name: &[u8]) -> BodyError {
    BodyError::UnknownEncoding(String::from_utf8_lossy(name.trim_ascii()).chars().take(80).collect())
}

/// Decompresses a body of at most `limit` bytes, taking room for each step before it is made.
pub(super) fn decompress(
    encoding: Encoding,
    compressed: &[u8],
    limit: usize,
    mut permit: Permit,
) -> Result<ReadBody, BodyError> {
    let corrupt = |_| BodyError::Corrupt(encoding);
    let mut reader: Box<dyn Read + '_> = match encoding {
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(compressed)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed).map_err(corrupt)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(corrupt)?;
            Box::new(decoder)
        }
    };
    let mut out: Vec<u8> = Vec::new();
    loop {
        let length = out.len();
        permit.grow_to(compressed.len().saturating_add(length).saturating_add(STEP_BYTES))?;
        let read = reader.by_ref().take(STEP_BYTES as u64).read_to_end(&mut out).map_err(corrupt)?;
        if out.len() > limit {
            return Err(BodyError::TooLarge { limit, decompressed: true });
        }
        if read < STEP_BYTES {
            break;
        }
    }
    drop(reader);
    Ok(ReadBody { bytes: Bytes::from(out), _permit: permit })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::admission::Admission;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn run(encoding: Encoding, compressed: &[u8], limit: usize) -> Result<ReadBody, BodyError> {
        let admission = Admission::new(1, 1024 * 1024);
        decompress(encoding, compressed, limit, admission.admit(compressed.len()).unwrap())
    }

    #[test]
    fn whole_streams_come_back_equal() {
        for length in [0, 1, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 3 * STEP_BYTES] {
            let text = vec![b'x'; length];
            let zstd = zstd::encode_all(&text[..], 1).unwrap();
            for (encoding, compressed) in [(Encoding::Gzip, gzip(&text)), (Encoding::Zstd, zstd)] {
                let body = run(encoding, &compressed, length).unwrap();
                assert!(body.bytes == text, "{encoding:?} {length}");
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let text = vec![b'x'; 512 * 1024];
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        for (encoding, compressed) in [(Encoding::Gzip, gzip(&text)), (Encoding::Zstd, zstd)] {
            let refused = run(encoding, &compressed, text.len() - 1).unwrap_err();
            assert_eq!(refused, BodyError::TooLarge { limit: text.len() - 1, decompressed: true });
        }
    }

    #[test]
    fn a_bomb_stops_when_the_server_is_full() {
        let compressed = gzip(&vec![b'x'; 2 * 1024 * 1024]);
        assert_eq!(run(Encoding::Gzip, &compressed, usize::MAX).unwrap_err(), BodyError::Overloaded);
    }

    #[test]
    fn cut_and_damaged_streams_are_corrupt() {
        let text = b"some text that compresses to more than a few bytes".repeat(10);
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        for (encoding, compressed) in [(Encoding::Gzip, gzip(&text)), (Encoding::Zstd, zstd)] {
            let cut = &compressed[..compressed.len() - 3];
            assert_eq!(run(encoding, cut, 10_000).unwrap_err(), BodyError::Corrupt(encoding));
            assert_eq!(run(encoding, b"{}", 10_000).unwrap_err(), BodyError::Corrupt(encoding));
        }
    }

    #[test]
    fn only_one_known_encoding_is_accepted() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, http::HeaderValue::from_static(value));
            Encoding::of(&headers)
        };
        assert_eq!(of("GZIP"), Ok(Some(Encoding::Gzip)));
        assert_eq!(of("zstd"), Ok(Some(Encoding::Zstd)));
        assert_eq!(of("identity"), Ok(None));
        assert!(of("br").is_err());
        assert!(of("gzip, zstd").is_err());
    }
}
