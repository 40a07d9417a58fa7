//! The Agentex spans API: `POST`, `PATCH` and `GET /spans`, and endspan's `PUT` and `POST /spans/batch`.
//!
//! A span's ten keys and their rules are those of `agentex-api` sections 2 to 4. `data` is the model's
//! metadata. Where endspan is stricter or kinder than the reference, the rows say so (`†`) and
//! `docs/mapping.md` tells how.

mod batch;
mod decode;
mod encode;

pub use batch::{BatchAnswer, BatchOutcome, decode_batch_answer, encode_batch_answer};
pub use decode::{decode_batch, decode_create, decode_patch};
pub use encode::{encode_batch, encode_create, encode_list, encode_patch, encode_span};
