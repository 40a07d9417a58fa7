//! Telling a forked child from its parent, at the cost of one load.
//!
//! A `pthread_atfork` child handler bumps a counter. Everything that belongs to a process remembers the counter's
//! value at its birth and refuses to work under another one: the child then never touches a lock that some
//! thread of the parent held at the fork, nor a page that it shares with its parent.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(1);
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Returns a number that differs between a process and its forked children.
#[inline]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Returns a number that differs between a process and its forked children, at the cost of one load. For those who
/// keep state of their own that must not be shared with a child, such as a seeded generator of ids.
#[inline]
pub fn fork_generation() -> u64 {
    install();
    generation()
}

/// Registers the child handler. Racing callers may register it twice, which is harmless: a generation only has
/// to differ. (A `Once` could be left locked in a child.)
pub(crate) fn install() {
    if !INSTALLED.load(Ordering::Acquire) {
        #[cfg(unix)]
        {
            unsafe extern "C" fn child() {
                GENERATION.fetch_add(1, Ordering::Relaxed);
            }
            // SAFETY: the handler only adds to an atomic, which is allowed between fork and exec, and it is a
            // plain function that lives as long as this library is loaded.
            unsafe {
                libc::pthread_atfork(None, None, Some(child));
            }
        }
        INSTALLED.store(true, Ordering::Release);
    }
}

/// A process-wide value that a forked child replaces by a fresh one, whatever state the parent's was in.
pub(crate) struct PerProcess<T: 'static> {
    current: AtomicPtr<Born<T>>,
}

struct Born<T> {
    generation: u64,
    value: T,
}

impl<T: Default + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { current: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Returns this process's value. The parent's value is leaked in the child: its locks may be held for ever.
    pub(crate) fn get(&'static self) -> &'static T {
        loop {
            let found = self.current.load(Ordering::Acquire);
            // SAFETY: a non-null pointer was made by `Box::into_raw` below and is never freed.
            if let Some(born) = unsafe { found.as_ref() }
                && born.generation == generation()
            {
                return &born.value;
            }
            let fresh = Box::into_raw(Box::new(Born { generation: generation(), value: T::default() }));
            if self.current.compare_exchange(found, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `fresh` was not published; this is its only pointer.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}
