//! Limits that protect queues, bodies and stores. Each is a default or a hard bound, as its text says.

/// Most characters in an id (`sgp-api` 3.1). Hard.
pub const MAX_ID_CHARS: usize = 256;

/// Most UTF-8 bytes in an id (`sgp-api` 3.1). Hard.
pub const MAX_ID_BYTES: usize = 256;

/// Most bytes in a span's name. Hard; longer names are refused by the server and cut by the SDK.
pub const MAX_NAME_BYTES: usize = 16 * 1024;

/// Deepest nesting of arrays and objects in a payload. Hard. Far above what agents produce, and low enough
/// that every reader can parse it without running out of stack.
pub const MAX_PAYLOAD_DEPTH: usize = 512;

/// Most spans in one batch request (`sgp-api` 2). Hard.
pub const MAX_BATCH_SPANS: usize = 1000;

/// Most bytes of one span's payloads together. Default of the server and the SDK.
pub const MAX_SPAN_BYTES: usize = 32 * 1024 * 1024;

/// Most bytes of a request body, after decompression. Default of the server.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
