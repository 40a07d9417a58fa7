//! Settings from the environment: one registry of every variable, with name, type, default, floor and meaning.
//!
//! Order everywhere: argument, environment, default. Each variable is read once, when the tracer or exporter is
//! built. `docs/environment.md` is generated from [`VARIABLES`].

mod parse;
mod registry;
mod resolve;

pub(crate) use parse::{is_off_word, python_integer};
pub(crate) use registry::*;
pub use registry::{Kind, VARIABLES, Variable, reference_page};
pub use resolve::Environment;
pub(crate) use resolve::{custom_headers, spool_directory};
