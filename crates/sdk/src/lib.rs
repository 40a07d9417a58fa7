//! endspan.
pub mod lane;
mod moment;
pub use moment::Moment;
