//! New ids: UUID version 7, from a generator per thread that is seeded by the operating system.
//!
//! One system call per id would cost 0.25 µs. A seed of 256 bits is drawn once per thread, again every 65,536
//! ids, and again after a fork, so that parent and child never make the same id. Seeding the host's own
//! generators (`random.seed(0)` in every worker) changes nothing here.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, Hasher as _};

use endspan_model::Timestamp;

/// Ids made from one seed.
const IDS_PER_SEED: u32 = 1 << 16;

/// An id's text: in place if it is as long as a UUID's, else on the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdText {
    Uuid([u8; 36]),
    Text(Box<str>),
}

impl IdText {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Uuid(text) => text,
            Self::Text(text) => text.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Uuid(text) => std::str::from_utf8(text).unwrap_or_default(),
            Self::Text(text) => text,
        }
    }
}

impl From<&str> for IdText {
    fn from(id: &str) -> Self {
        match id.as_bytes().try_into() {
            Ok(text) => Self::Uuid(text),
            Err(_) => Self::Text(id.into()),
        }
    }
}

/// Returns a new id, with the time of `now` in its first 48 bits.
pub(crate) fn new_id(now: Timestamp) -> IdText {
    thread_local! {
        static GENERATOR: RefCell<Generator> = const { RefCell::new(Generator::UNSEEDED) };
    }
    let random = GENERATOR
        .try_with(|generator| generator.try_borrow_mut().map(|mut generator| generator.next_pair()).ok())
        .ok()
        .flatten()
        // The thread is ending, or a signal handler interrupted us: pay for a seed of one id.
        .unwrap_or_else(|| {
            let mut generator = Generator::UNSEEDED;
            generator.next_pair()
        });
    IdText::Uuid(format_v7(now.unix_micros() / 1000, random))
}

/// Returns a number that no other process draws.
pub(crate) fn random_number() -> u64 {
    let mut generator = Generator::UNSEEDED;
    generator.next_pair().0
}

/// xoshiro256++ by Blackman and Vigna, public domain.
struct Generator {
    state: [u64; 4],
    left: u32,
    generation: u64,
}

impl Generator {
    const UNSEEDED: Self = Self { state: [0; 4], left: 0, generation: 0 };

    fn next_pair(&mut self) -> (u64, u64) {
        let generation = endspan_spool::fork_generation();
        if self.left == 0 || self.generation != generation {
            self.seed(generation);
        }
        self.left -= 1;
        (self.next(), self.next())
    }

    #[cold]
    fn seed(&mut self, generation: u64) {
        let mut seed = [0_u8; 32];
        if getrandom::fill(&mut seed).is_err() {
            // Without the system's randomness the standard library's keys, time and process id have to do.
            for chunk in seed.chunks_exact_mut(8) {
                let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
                hasher.write_i128(Timestamp::now().unix_nanos());
                hasher.write_u32(std::process::id());
                chunk.copy_from_slice(&hasher.finish().to_le_bytes());
            }
        }
        for (word, chunk) in self.state.iter_mut().zip(seed.chunks_exact(8)) {
            let mut bytes = [0_u8; 8];
            bytes.copy_from_slice(chunk);
            *word = u64::from_le_bytes(bytes);
        }
        if self.state == [0; 4] {
            self.state = [1, 2, 3, 4];
        }
        self.left = IDS_PER_SEED;
        self.generation = generation;
    }

    fn next(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let t = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= t;
        *s3 = s3.rotate_left(45);
        result
    }
}

fn format_v7(unix_millis: i64, random: (u64, u64)) -> [u8; 36] {
    let high = ((unix_millis as u64) << 16) | 0x7000 | (random.0 & 0x0FFF);
    let low = (random.1 >> 2) | 1 << 63;
    let [a, b] = [(high >> 32) as u32, high as u32].map(hex);
    let [c, d] = [(low >> 32) as u32, low as u32].map(hex);
    let mut text = [b'-'; 36];
    let mut put = |at: usize, digits: &[u8]| {
        if let Some(place) = text.get_mut(at..at + digits.len()) {
            place.copy_from_slice(digits);
        }
    };
    let ([b1, b2], [c1, c2]) = ([&b[..4], &b[4..]], [&c[..4], &c[4..]]);
    put(0, &a);
    put(9, b1);
    put(14, b2);
    put(19, c1);
    put(24, c2);
    put(28, &d);
    text
}

/// Eight digits at once: one nibble a byte, then those above 9 are moved on to the letters.
const fn hex(value: u32) -> [u8; 8] {
    let mut nibbles = value as u64;
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * (b'a' - b'9' - 1) as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_3_ids_are_uuids_in_order_of_time_and_never_repeat() {
        let now = Timestamp::now();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2 * IDS_PER_SEED {
            let id = new_id(now);
            assert!(seen.insert(id.as_str().to_owned()));
        }
        let id = uuid::Uuid::parse_str(new_id(now).as_str()).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        let (seconds, _) = id.get_timestamp().unwrap().to_unix();
        assert_eq!(seconds as i64, now.unix_micros() / 1_000_000);
    }

    #[test]
    fn digits_are_those_that_everybody_writes() {
        for shift in 0..32 {
            for value in [0x89ab_cdef_u32.rotate_left(shift), u32::MAX >> shift, 1 << shift, 0] {
                assert_eq!(hex(value), *format!("{value:08x}").as_bytes(), "{value:x}");
            }
        }
        let text = format_v7(0x0123_4567_89ab, (0xfff, u64::MAX));
        assert_eq!(std::str::from_utf8(&text).unwrap(), "01234567-89ab-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn threads_draw_from_seeds_of_their_own() {
        let ids = || (0..1000).map(|_| new_id(Timestamp::MIN).as_str().to_owned()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(ids)).collect();
        let all: Vec<String> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let unique: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }
}
