//! The demo: an agent that works through made-up conversations and traces them with the endspan SDK.

mod agent;
mod check;
mod script;

pub(crate) use agent::{Agent, Stop};
pub(crate) use check::{Recorder, find_differences};
pub(crate) use script::CONVERSATIONS;
