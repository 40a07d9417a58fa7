//! The web page as it was built last: the files of `dist`, which `npm run build` writes and which are kept beside their
//! sources, so that nothing but Rust is needed to build a server with its page.
#![forbid(unsafe_code)]

use std::borrow::Cow;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "dist"]
struct Bundle;

/// A file of the page.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path below the page's root, with `/` between its parts.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub contents: Cow<'static, [u8]>,
    /// The SHA-256 of its contents.
    pub sha256: [u8; 32],
}

/// Returns every file of the page.
pub fn files() -> impl Iterator<Item = File> {
    Bundle::iter().filter_map(|name| {
        let embedded = Bundle::get(&name)?;
        Some(File { sha256: embedded.metadata.sha256_hash(), contents: embedded.data, name })
    })
}
