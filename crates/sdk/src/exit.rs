//! Shutting down at the normal end of the process, also for tracers in statics, which are never dropped.
#![expect(unsafe_code, reason = "the C library's exit hook has no safe face")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::tracer::Pipeline;

static HOOKED: AtomicBool = AtomicBool::new(false);
static PIPELINES: Mutex<Vec<Weak<Pipeline>>> = Mutex::new(Vec::new());

/// Remembers a pipeline for the end of the process.
pub(crate) fn register(pipeline: &Arc<Pipeline>) {
    if let Ok(mut pipelines) = PIPELINES.lock() {
        pipelines.retain(|known| known.strong_count() > 0);
        pipelines.push(Arc::downgrade(pipeline));
    }
    if !HOOKED.swap(true, Ordering::AcqRel) {
        // SAFETY: the hook is a plain function that lives as long as this library is loaded. It runs on the thread that
        // ends the process, while other threads still do; it takes one lock, which is never held across anything that
        // could end the process, and lets no panic out.
        unsafe {
            libc::atexit(at_exit);
        }
    }
}

extern "C" fn at_exit() {
    let ended = std::panic::catch_unwind(|| {
        // A forked child may find the lock held for ever by a thread of its parent.
        let pipelines = match PIPELINES.try_lock() {
            Ok(mut pipelines) => std::mem::take(&mut *pipelines),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => {
                std::mem::take(&mut *PoisonError::into_inner(poisoned))
            }
            Err(std::sync::TryLockError::WouldBlock) => return,
        };
        for pipeline in pipelines.iter().filter_map(Weak::upgrade) {
            pipeline.shut_down_at_exit();
        }
    });
    // Nobody is left to tell.
    drop(ended);
}
