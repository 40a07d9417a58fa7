//! Writes that wait for a commit: bounded in operations and bytes, taken in groups.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::{StoreError, WriteOperation, WriteRequest, WriteResponse};

/// What a caller learns of its request.
pub type Answer = Result<WriteResponse, StoreError>;

/// One caller's request on its way.
#[derive(Debug)]
pub struct QueuedWrite {
    /// What is to be written.
    pub request: WriteRequest,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
    operations: usize,
    /// Bytes of its operations, about.
    pub bytes: usize,
}

/// The bounds of a [`Backlog`] and of its groups. A single request may be larger than each of them.
#[derive(Clone, Copy, Debug)]
pub struct BacklogLimits {
    /// Most operations that may wait.
    pub max_operations: usize,
    /// Most bytes of them.
    pub max_bytes: usize,
    /// Most operations of a group.
    pub max_group_operations: usize,
    /// Most bytes of a group.
    pub max_group_bytes: usize,
}

/// Writes that wait, first come first served. Locks and wakes nobody: that is the engine's part.
#[derive(Debug)]
pub struct Backlog {
    limits: BacklogLimits,
    writes: VecDeque<QueuedWrite>,
    operations: usize,
    bytes: usize,
    closed: bool,
}

impl Backlog {
    /// Makes an empty backlog.
    pub const fn new(limits: BacklogLimits) -> Self {
        Self { limits, writes: VecDeque::new(), operations: 0, bytes: 0, closed: false }
    }

    /// Adds a request, and returns where its answer will be. An empty backlog takes any request, whatever its size.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] beyond the limits, [`StoreError::Unavailable`] after [`close`](Self::close).
    pub fn push(&mut self, request: WriteRequest) -> Result<oneshot::Receiver<Answer>, StoreError> {
        if self.closed {
            return Err(StoreError::Unavailable("the store is closed".to_owned()));
        }
        let operations = request.operations.len();
        let bytes = request.operations.iter().map(operation_bytes).sum();
        let is_over = self.operations + operations > self.limits.max_operations
            || self.bytes + bytes > self.limits.max_bytes;
        if is_over && !self.writes.is_empty() {
            let message = format!("{} operations of {} bytes are waiting", self.operations, self.bytes);
            return Err(StoreError::Overloaded(message));
        }
        let (reply, answer) = oneshot::channel();
        self.operations += operations;
        self.bytes += bytes;
        self.writes.push_back(QueuedWrite { request, reply, operations, bytes });
        Ok(answer)
    }

    /// Takes the next group: as many requests as its limits allow, and at least one if there is one.
    pub fn take_group(&mut self) -> Vec<QueuedWrite> {
        let mut group = Vec::new();
        let (mut operations, mut bytes) = (0, 0);
        while let Some(next) = self.writes.front() {
            let is_over = operations + next.operations > self.limits.max_group_operations
                || bytes + next.bytes > self.limits.max_group_bytes;
            if is_over && !group.is_empty() {
                break;
            }
            operations += next.operations;
            bytes += next.bytes;
            group.extend(self.writes.pop_front());
        }
        self.operations -= operations;
        self.bytes -= bytes;
        group
    }

    /// Refuses what comes from now on; what waits will still be taken.
    pub const fn close(&mut self) {
        self.closed = true;
    }

    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Returns whether it was closed; something may still wait.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }
}

fn operation_bytes(operation: &WriteOperation) -> usize {
    match operation {
        WriteOperation::Insert(span) | WriteOperation::Upsert(span) => span.size_bytes(),
        WriteOperation::Patch { id, patch } => {
            let payloads = [&patch.input, &patch.output, &patch.metadata, &patch.merge_metadata];
            size_of_val(&**patch)
                + id.as_str().len()
                + payloads.into_iter().flatten().map(|payload| payload.len()).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use endspan_model::{AccountId, Span, Timestamp};

    use super::*;

    const LIMITS: BacklogLimits = BacklogLimits {
        max_operations: 100,
        max_bytes: usize::MAX,
        max_group_operations: 5,
        max_group_bytes: usize::MAX,
    };

    fn request(operations: usize) -> WriteRequest {
        let span = Span::new("t", "s", "n", Timestamp::MIN);
        WriteRequest {
            account: AccountId::default(),
            operations: vec![WriteOperation::Upsert(span); operations],
            all_or_nothing: false,
            check_parents: false,
        }
    }

    #[test]
    fn a_full_backlog_refuses_and_an_empty_one_takes_anything() {
        let mut backlog = Backlog::new(BacklogLimits { max_operations: 10, ..LIMITS });
        let _first = backlog.push(request(50)).unwrap();
        assert!(matches!(backlog.push(request(1)), Err(StoreError::Overloaded(_))));
        assert_eq!(backlog.take_group().len(), 1);
        let _second = backlog.push(request(1)).unwrap();
    }

    #[test]
    fn bytes_bound_the_backlog_too() {
        let one = operation_bytes(&request(1).operations[0]);
        let mut backlog = Backlog::new(BacklogLimits { max_bytes: one * 2, ..LIMITS });
        let _answers = [backlog.push(request(1)).unwrap(), backlog.push(request(1)).unwrap()];
        assert!(matches!(backlog.push(request(1)), Err(StoreError::Overloaded(_))));
    }

    #[test]
    fn groups_are_bounded_and_an_oversized_request_goes_alone() {
        let mut backlog = Backlog::new(LIMITS);
        let _answers: Vec<_> =
            [2, 2, 2, 9, 1].map(|operations| backlog.push(request(operations)).unwrap()).into();
        let mut sizes = Vec::new();
        while !backlog.is_empty() {
            sizes.push(backlog.take_group().iter().map(|write| write.operations).collect::<Vec<_>>());
        }
        assert_eq!(sizes, [vec![2, 2], vec![2], vec![9], vec![1]]);
    }

    #[test]
    fn a_closed_backlog_gives_what_it_has() {
        let mut backlog = Backlog::new(LIMITS);
        let _answer = backlog.push(request(1)).unwrap();
        backlog.close();
        assert!(matches!(backlog.push(request(1)), Err(StoreError::Unavailable(_))));
        assert_eq!((backlog.take_group().len(), backlog.is_closed(), backlog.is_empty()), (1, true, true));
    }
}
