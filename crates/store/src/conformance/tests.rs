use std::sync::Arc;

use super::{Subject, block_on};
use crate::{SpanStore, memory::MemoryStore};

struct Memory(Arc<MemoryStore>);

impl Memory {
    fn new() -> Self {
        Self(Arc::new(MemoryStore::new()))
    }
}

impl Subject for Memory {
    fn store(&self) -> Arc<dyn SpanStore> {
        self.0.clone()
    }
}

crate::conformance_suite!(Memory::new, block_on);

/// A behaviour that is written but not listed in the macro would silently never run.
#[test]
fn every_behaviour_is_listed() {
    let suite = include_str!("mod.rs");
    let modules = [
        include_str!("assessments.rs"),
        include_str!("changes.rs"),
        include_str!("deletion.rs"),
        include_str!("lifecycle.rs"),
        include_str!("lists.rs"),
        include_str!("parent_checks.rs"),
        include_str!("search.rs"),
        include_str!("patches.rs"),
        include_str!("traces.rs"),
        include_str!("writes.rs"),
    ];
    let mut behaviours = 0;
    for line in modules.iter().flat_map(|text| text.lines()) {
        if let Some(name) = line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next()) {
            assert!(suite.contains(&format!(" {name},\n")), "{name} is not in the suite");
            behaviours += 1;
        }
    }
    assert!(behaviours > 70, "only {behaviours} behaviours found");
}
