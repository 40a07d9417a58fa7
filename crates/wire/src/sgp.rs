//! The SGP v5 spans API: create, patch, both batches, and the answers.
//!
//! The rules are those of `sgp-api` sections 3 and 4; what its documentation leaves open is decided in
//! `docs/mapping.md`. [`encode_item`] turns a span of the Agentex kind into the item that the reference SDK
//! sends to SGP (`sdk-behaviour` 8.1).

mod decode;
mod encode;
mod item;
mod usage;

pub use decode::{decode_batch, decode_create, decode_patch};
pub use encode::{Identity, IdentityKind, encode_list, encode_span};
pub use item::{AgentTags, ItemFields, encode_item, encode_item_of};
pub use usage::{TokenUsage, token_usage};

pub use crate::agentex::encode_batch;
