//! The JSON form of OTLP, by way of the protobuf form: one table, one reading of what a request means.

mod read;
mod write;

pub(crate) use read::request_to_protobuf;
pub(crate) use write::request_to_json;
