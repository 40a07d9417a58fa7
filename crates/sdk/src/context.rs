//! The ambient span: which span is current on this thread.
//!
//! Asynchronous scopes set it around each poll, so that it follows the task from thread to thread and needs no
//! runtime of any kind. A parent given explicitly always wins, and a span never becomes the parent of a span of
//! another trace.

use std::cell::RefCell;

use crate::ids::IdText;
use crate::trace::Trace;

/// A span as its children see it.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) trace: Trace,
    pub(crate) span_id: IdText,
}

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Reads the current context. `None` also while the thread ends.
pub(crate) fn with_current<T>(read: impl FnOnce(&Context) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.try_borrow().ok()?.as_ref().map(read)).ok().flatten()
}

/// Makes a context current until the guard is dropped.
pub(crate) fn enter(context: Option<Context>) -> Entered {
    Entered { before: replace(context), _not_send: std::marker::PhantomData }
}

fn replace(context: Option<Context>) -> Option<Context> {
    CURRENT
        .try_with(|current| {
            current.try_borrow_mut().ok().and_then(|mut current| std::mem::replace(&mut *current, context))
        })
        .ok()
        .flatten()
}

/// Puts the context before back when it is dropped.
pub(crate) struct Entered {
    before: Option<Context>,
    /// Belongs to the thread that entered.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        replace(self.before.take());
    }
}
