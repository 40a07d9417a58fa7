//! How much work the server holds at once. What does not fit is refused before memory grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bounds the requests with a body that are in flight, and the bytes of their bodies.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: AtomicUsize,
    bytes: AtomicUsize,
    max_requests: usize,
    max_bytes: usize,
}

/// The server has no room for (more of) this request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

impl Admission {
    pub(crate) fn new(max_requests: usize, max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { requests: AtomicUsize::new(0), bytes: AtomicUsize::new(0), max_requests, max_bytes })
    }

    /// Takes in one request that announces this many bytes.
    pub(crate) fn admit(self: &Arc<Self>, bytes: usize) -> Result<Permit, Overloaded> {
        take(&self.requests, 1, self.max_requests)?;
        let mut permit = Permit { admission: Arc::clone(self), bytes: 0 };
        permit.grow(bytes)?;
        Ok(permit)
    }

    /// Returns the requests in flight.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns the bytes of bodies in flight.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn take(counter: &AtomicUsize, amount: usize, limit: usize) -> Result<(), Overloaded> {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |current| {
            current.checked_add(amount).filter(|sum| *sum <= limit)
        })
        .map(|_| ())
        .map_err(|_| Overloaded)
}

/// One request's share; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    bytes: usize,
}

impl Permit {
    /// Takes room for more bytes.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Overloaded> {
        take(&self.admission.bytes, bytes, self.admission.max_bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes room so that the request holds at least this many bytes.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Overloaded> {
        match bytes.checked_sub(self.bytes) {
            Some(missing) if missing > 0 => self.grow(missing),
            _ => Ok(()),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.admission.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_and_given_back() {
        let admission = Admission::new(2, 100);
        let first = admission.admit(0).unwrap();
        let _second = admission.admit(0).unwrap();
        assert_eq!(admission.admit(0).unwrap_err(), Overloaded);
        drop(first);
        assert!(admission.admit(0).is_ok());
        assert_eq!(admission.requests(), 1);
    }

    #[test]
    fn a_refused_request_holds_nothing() {
        let admission = Admission::new(10, 100);
        let mut permit = admission.admit(60).unwrap();
        assert_eq!(admission.admit(41).unwrap_err(), Overloaded);
        assert_eq!((admission.requests(), admission.bytes()), (1, 60));
        assert_eq!(permit.grow(41), Err(Overloaded));
        permit.grow_to(100).unwrap();
        permit.grow_to(50).unwrap();
        assert_eq!(admission.bytes(), 100);
        drop(permit);
        assert_eq!((admission.requests(), admission.bytes()), (0, 0));
    }

    #[test]
    fn a_huge_announcement_does_not_overflow() {
        let admission = Admission::new(10, usize::MAX);
        let _permit = admission.admit(usize::MAX).unwrap();
        assert_eq!(admission.admit(usize::MAX).unwrap_err(), Overloaded);
    }
}
