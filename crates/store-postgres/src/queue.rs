//! The writers' queue: bounded in operations and bytes, drained in groups.

use std::collections::VecDeque;

use endspan_store::{StoreError, WriteOperation, WriteRequest, WriteResponse};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::Options;

/// What a caller learns of its request.
pub(crate) type Answer = Result<WriteResponse, StoreError>;

/// One caller's request on its way.
#[derive(Debug)]
pub(crate) struct QueuedWrite {
    pub(crate) request: WriteRequest,
    pub(crate) reply: oneshot::Sender<Answer>,
    operations: usize,
    pub(crate) bytes: usize,
}

/// A queue of writes.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    state: Mutex<State>,
    arrived: Notify,
    max_operations: usize,
    max_bytes: usize,
    max_group_operations: usize,
    max_group_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    writes: VecDeque<QueuedWrite>,
    operations: usize,
    bytes: usize,
    closed: bool,
}

impl WriteQueue {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            max_operations: options.max_queue_operations,
            max_bytes: options.max_queue_bytes,
            max_group_operations: options.max_group_operations,
            max_group_bytes: options.max_group_bytes,
        }
    }

    /// Queues a request. An empty queue takes any request, whatever its size.
    pub(crate) fn push(&self, request: WriteRequest) -> Result<oneshot::Receiver<Answer>, StoreError> {
        let operations = request.operations.len();
        let bytes = request.operations.iter().map(operation_bytes).sum();
        let (reply, answer) = oneshot::channel();
        let mut state = self.state.lock();
        if state.closed {
            return Err(StoreError::Unavailable("the store is closed".to_owned()));
        }
        let is_over =
            state.operations + operations > self.max_operations || state.bytes + bytes > self.max_bytes;
        if is_over && !state.writes.is_empty() {
            let message = format!("{} operations of {} bytes are waiting", state.operations, state.bytes);
            return Err(StoreError::Overloaded(message));
        }
        state.operations += operations;
        state.bytes += bytes;
        state.writes.push_back(QueuedWrite { request, reply, operations, bytes });
        drop(state);
        self.arrived.notify_one();
        Ok(answer)
    }

    /// Takes the next group; waits for one. `None` when the queue is closed and empty.
    pub(crate) async fn take(&self) -> Option<Vec<QueuedWrite>> {
        loop {
            if let Some(group) = self.try_take() {
                return if group.is_empty() { None } else { Some(group) };
            }
            self.arrived.notified().await;
        }
    }

    /// Returns a group, an empty one at the end, or `None` when there is nothing yet.
    fn try_take(&self) -> Option<Vec<QueuedWrite>> {
        let mut state = self.state.lock();
        let mut group = Vec::new();
        let (mut operations, mut bytes) = (0, 0);
        while let Some(next) = state.writes.front() {
            let is_over = operations + next.operations > self.max_group_operations
                || bytes + next.bytes > self.max_group_bytes;
            if is_over && !group.is_empty() {
                break;
            }
            operations += next.operations;
            bytes += next.bytes;
            group.extend(state.writes.pop_front());
        }
        state.operations -= operations;
        state.bytes -= bytes;
        if !state.writes.is_empty() || state.closed {
            // For the next writer.
            self.arrived.notify_one();
        }
        (!group.is_empty() || state.closed).then_some(group)
    }

    /// Refuses what comes from now on; what is queued will still be taken.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
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

    fn request(operations: usize) -> WriteRequest {
        let span = Span::new("t", "s", "n", Timestamp::MIN);
        WriteRequest {
            account: AccountId::default(),
            operations: vec![WriteOperation::Upsert(span); operations],
            all_or_nothing: false,
            check_parents: false,
        }
    }

    fn queue(max_operations: usize, max_group: usize) -> WriteQueue {
        let mut options = Options::new("");
        options.max_queue_operations = max_operations;
        options.max_group_operations = max_group;
        WriteQueue::new(&options)
    }

    #[test]
    fn groups_are_bounded_and_an_oversized_request_goes_alone() {
        let queue = queue(100, 5);
        let _answers: Vec<_> = [2, 2, 2, 9, 1].map(|count| queue.push(request(count)).unwrap()).into();
        let groups: Vec<Vec<usize>> = std::iter::from_fn(|| queue.try_take())
            .map(|group| group.iter().map(|write| write.operations).collect())
            .collect();
        assert_eq!(groups, [vec![2, 2], vec![2], vec![9], vec![1]]);
    }

    #[test]
    fn a_full_queue_refuses_and_an_empty_one_takes_anything() {
        let queue = queue(3, 5);
        let _first = queue.push(request(7)).unwrap();
        assert!(matches!(queue.push(request(1)), Err(StoreError::Overloaded(_))));
        assert_eq!(queue.try_take().unwrap().len(), 1);
        let _second = queue.push(request(1)).unwrap();
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_then_ends() {
        let queue = queue(3, 5);
        let _first = queue.push(request(1)).unwrap();
        queue.close();
        assert!(matches!(queue.push(request(1)), Err(StoreError::Unavailable(_))));
        assert_eq!(queue.try_take().unwrap().len(), 1);
        assert_eq!(queue.try_take().unwrap().len(), 0);
    }
}
