//! A model of the log: what survives a crash.

use std::cell::RefCell;
use std::rc::Rc;

use endspan::engine::RecordHandle;
use endspan::lane::Phase;

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) span: u64,
    /// Which write of its span this is; later writes have higher numbers.
    pub(crate) version: u32,
    pub(crate) phase: Phase,
    pub(crate) bytes: u32,
    pub(crate) marks: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
}

pub(crate) type SharedLog = Rc<RefCell<Log>>;

/// A record by its place in the log.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) log: SharedLog,
    pub(crate) index: usize,
}

impl Handle {
    pub(crate) fn entry(&self) -> Entry {
        self.log.borrow().entries[self.index].clone()
    }
}

impl RecordHandle for Handle {
    fn resolve(&self, bits: u32) {
        self.log.borrow_mut().entries[self.index].marks |= bits;
    }
}
