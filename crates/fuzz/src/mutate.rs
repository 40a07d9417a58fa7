//! New bytes out of old ones.

use fastrand::Rng;

/// What decoders stumble over.
const PIECES: &[&[u8]] = &[
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e999",
    b"-0.0",
    b"1.10",
    b"NaN",
    b"\"\"",
    b"{}",
    b"[]",
    b"[{}]",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"\\ud83d\\ude00",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\0",
    b"\"id\":",
    b"\"trace_id\":\"t\",",
    b"\"items\":[",
    b"\"start_time\":",
    b"\"2026-01-01T00:00:00Z\"",
    b"\"9999-12-31T23:59:60+24:00\"",
    b"99999999999999999999999",
    b"/*",
    b"\"authorization\":\"Bearer abcdef0123456789\"",
    b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x",
    b"://u:p@h",
    b"[[[[[[[[",
    b"]]]]",
    b"{\"a\":{\"a\":{\"a\":",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\n",
    b"%2F",
    b"%zz",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x08\x80\x80",
];

/// Changes bytes in one to eight places; never grows them beyond 64 KiB.
pub fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Rng) {
    for _ in 0..random.usize(1..=8) {
        let at = random.usize(0..=bytes.len());
        match random.u8(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.usize(0..32)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let piece = PIECES[random.usize(0..PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            5 => {
                let end = (at + random.usize(0..64)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                // Now and then deep enough for every limit.
                let most = if random.u8(0..16) == 0 { 700 } else { 3 };
                for _ in 0..random.usize(1..=most) {
                    bytes.splice(at..at, copy.iter().copied());
                }
            }
            6 => {
                let other = &corpus[random.usize(0..corpus.len())];
                let from = random.usize(0..=other.len());
                let end = (from + random.usize(0..256)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            _ => {
                let piece = PIECES[random.usize(0..PIECES.len())];
                let end = (at + piece.len()).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
            }
        }
        bytes.truncate(64 * 1024);
    }
}
