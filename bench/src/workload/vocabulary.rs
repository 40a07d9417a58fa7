//! Words, prose and tool answers of the workload, and the generator of numbers that chooses them.

use std::fmt::Write as _;

pub struct Rng(u64);
impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9E3779B97F4A7C15) ^ 0xD1B54A32D192ED03)
    }
    pub fn draw(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E3779B97F4A7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        ((self.draw() as u128 * n as u128) >> 64) as u64
    }
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn uuid(&mut self) -> [u8; 16] {
        let mut b = [0u8; 16];
        b[..8].copy_from_slice(&self.draw().to_le_bytes());
        b[8..].copy_from_slice(&self.draw().to_le_bytes());
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        b
    }
}

const COMMON: &str = "the of and to a in is that for it as was with be by on not he this are or his from at which but have an had they you were their one all we can her has there been if more when will would who so no out up into than them could time other some what only new its then do my first any may over such our man me even most made after also did many before must through back years where much your way well down should because each just those people how too little state good very make world still own see men work long get here between both life being under never day same another know while last might us great old year off come since against go came right used take three";

pub(super) struct Vocab {
    pub(super) words: Vec<String>,
    follow: Vec<[u16; 8]>,
    cdf: Vec<f64>,
}
impl Vocab {
    pub(super) fn new() -> Vocab {
        let mut r = Rng::new(7);
        let mut words: Vec<String> = COMMON.split(' ').map(|s| s.to_string()).collect();
        let on = [
            "b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "pl",
            "ch", "sh", "gr", "cl",
        ];
        let nu = ["a", "e", "i", "o", "u", "ea", "io", "ou", "ai"];
        let co = ["", "", "n", "r", "s", "t", "l", "m", "ck", "nt", "st", "ng"];
        let mut seen = std::collections::HashSet::new();
        for w in &words {
            seen.insert(w.clone());
        }
        while words.len() < 12_000 {
            let syl = 2 + r.below(3);
            let mut w = String::new();
            for _ in 0..syl {
                w.push_str(on[r.below(on.len() as u64) as usize]);
                w.push_str(nu[r.below(nu.len() as u64) as usize]);
            }
            w.push_str(co[r.below(co.len() as u64) as usize]);
            if seen.insert(w.clone()) {
                words.push(w);
            }
        }
        let n = words.len();
        let mut cdf = Vec::with_capacity(n);
        let mut acc = 0.0;
        for i in 0..n {
            acc += 1.0 / (i as f64 + 2.7);
            cdf.push(acc);
        }
        for c in cdf.iter_mut() {
            *c /= acc;
        }
        let mut v = Vocab { words, follow: vec![], cdf };
        let mut follow = Vec::with_capacity(n);
        for _ in 0..n {
            let mut f = [0u16; 8];
            for x in f.iter_mut() {
                *x = v.zipf(&mut r) as u16;
            }
            follow.push(f);
        }
        v.follow = follow;
        v
    }
    pub(super) fn zipf(&self, r: &mut Rng) -> usize {
        let u = r.unit();
        self.cdf.partition_point(|c| *c < u).min(self.cdf.len() - 1)
    }
    /// About `bytes` bytes of prose, JSON-safe except the `\n` it escapes itself.
    pub(super) fn prose(&self, r: &mut Rng, bytes: usize, out: &mut String) {
        let start = out.len();
        let mut cur = self.zipf(r);
        let mut in_sentence = 0;
        while out.len() - start < bytes {
            let w = &self.words[cur];
            if in_sentence == 0 {
                let mut c = w.chars();
                if let Some(f) = c.next() {
                    out.extend(f.to_uppercase());
                    out.push_str(c.as_str());
                }
            } else {
                out.push_str(w);
            }
            in_sentence += 1;
            if in_sentence > 6 && r.below(8) == 0 {
                out.push('.');
                in_sentence = 0;
                if r.below(6) == 0 {
                    out.push_str("\\n\\n");
                } else {
                    out.push(' ');
                }
            } else {
                if r.below(12) == 0 {
                    out.push(',');
                }
                out.push(' ');
            }
            cur =
                if r.below(100) < 55 { self.follow[cur][r.below(8) as usize] as usize } else { self.zipf(r) };
        }
        if r.below(700) == 0 {
            let _ = write!(out, "needle{:04} ", r.below(50));
        }
        if r.below(2000) == 0 {
            out.push_str("ZX-Timeout-Error ");
        }
    }
    /// A JSON document such as a search or database tool returns, as an escaped string body.
    pub(super) fn tool_json(&self, r: &mut Rng, bytes: usize, out: &mut String) {
        let start = out.len();
        out.push_str("{\\\"results\\\":[");
        let mut first = true;
        while out.len() - start < bytes {
            if !first {
                out.push(',');
            }
            first = false;
            let _ = write!(
                out,
                "{{\\\"id\\\":{},\\\"score\\\":0.{:05},\\\"url\\\":\\\"https://kb.example.com/{}/{}\\\",\\\"updated_at\\\":\\\"2026-0{}-{:02}T{:02}:{:02}:00Z\\\",\\\"title\\\":\\\"",
                r.below(10_000_000),
                r.below(100_000),
                self.words[200 + r.below(400) as usize],
                r.below(100_000),
                1 + r.below(9),
                1 + r.below(28),
                r.below(24),
                r.below(60)
            );
            self.prose_plain(r, 30, out);
            out.push_str("\\\",\\\"snippet\\\":\\\"");
            self.prose_plain(r, 120, out);
            out.push_str("\\\"}");
        }
        let _ = write!(out, "],\\\"total\\\":{}}}", r.below(5000));
    }
    pub(super) fn prose_plain(&self, r: &mut Rng, bytes: usize, out: &mut String) {
        let start = out.len();
        let mut cur = self.zipf(r);
        while out.len() - start < bytes {
            out.push_str(&self.words[cur]);
            out.push(' ');
            cur =
                if r.below(100) < 55 { self.follow[cur][r.below(8) as usize] as usize } else { self.zipf(r) };
        }
    }
}
