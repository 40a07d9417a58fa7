//! The writer's queue: bounded in operations and bytes, drained in groups.

use std::{collections::VecDeque, time::Duration};

use endspan_store::{StoreError, WriteOperation, WriteRequest, WriteResponse};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::Options;

/// One caller's request on its way.
#[derive(Debug)]
pub(crate) struct QueuedWrite {
    pub(crate) request: WriteRequest,
    pub(crate) reply: oneshot::Sender<Result<WriteResponse, StoreError>>,
    operations: usize,
    bytes: usize,
}

/// What the writer has to do next.
#[derive(Debug)]
pub(crate) struct Work<J> {
    pub(crate) writes: Vec<QueuedWrite>,
    /// At most one piece of background work a turn, so that writes never wait for two.
    pub(crate) job: Option<J>,
    /// Nothing more will come.
    pub(crate) closed: bool,
}

/// A queue of writes and of background jobs `J`.
#[derive(Debug)]
pub(crate) struct WriteQueue<J> {
    state: Mutex<State<J>>,
    arrived: Condvar,
    max_operations: usize,
    max_bytes: usize,
    max_group_operations: usize,
    max_group_bytes: usize,
}

#[derive(Debug)]
struct State<J> {
    writes: VecDeque<QueuedWrite>,
    jobs: VecDeque<J>,
    operations: usize,
    bytes: usize,
    closed: bool,
}

impl<J> WriteQueue<J> {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            state: Mutex::new(State {
                writes: VecDeque::new(),
                jobs: VecDeque::new(),
                operations: 0,
                bytes: 0,
                closed: false,
            }),
            arrived: Condvar::new(),
            max_operations: options.max_queue_operations,
            max_bytes: options.max_queue_bytes,
            max_group_operations: options.max_group_operations,
            max_group_bytes: options.max_group_bytes,
        }
    }

    /// Queues a request. An empty queue takes any request, whatever its size.
    pub(crate) fn push(
        &self,
        request: WriteRequest,
    ) -> Result<oneshot::Receiver<Result<WriteResponse, StoreError>>, StoreError> {
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

    /// Queues background work; gives it back when the queue is closed.
    pub(crate) fn push_job(&self, job: J) -> Result<(), J> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(job);
        }
        state.jobs.push_back(job);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes the next group and the next job; waits for either, at most for `patience`.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Work<J> {
        let mut state = self.state.lock();
        if state.writes.is_empty() && state.jobs.is_empty() && !state.closed {
            match patience {
                Some(patience) => {
                    self.arrived.wait_for(&mut state, patience);
                }
                None => self.arrived.wait(&mut state),
            }
        }
        let mut writes = Vec::new();
        let (mut operations, mut bytes) = (0, 0);
        while let Some(next) = state.writes.front() {
            let is_over = operations + next.operations > self.max_group_operations
                || bytes + next.bytes > self.max_group_bytes;
            if is_over && !writes.is_empty() {
                break;
            }
            operations += next.operations;
            bytes += next.bytes;
            writes.extend(state.writes.pop_front());
        }
        state.operations -= operations;
        state.bytes -= bytes;
        let job = state.jobs.pop_front();
        let closed = state.closed && state.writes.is_empty() && state.jobs.is_empty();
        Work { writes, job, closed }
    }

    /// Refuses what comes from now on; what is queued will still be taken.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }

    pub(crate) fn has_writes(&self) -> bool {
        !self.state.lock().writes.is_empty()
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

    #[test]
    fn a_full_queue_refuses_and_an_empty_one_takes_anything() {
        let options = Options { max_queue_operations: 10, ..Options::default() };
        let queue = WriteQueue::<()>::new(&options);
        let _first = queue.push(request(50)).unwrap();
        assert!(matches!(queue.push(request(1)), Err(StoreError::Overloaded(_))));
        assert_eq!(queue.take(None).writes.len(), 1);
        let _second = queue.push(request(1)).unwrap();
    }

    #[test]
    fn bytes_bound_the_queue_too() {
        let one = operation_bytes(&request(1).operations[0]);
        let queue = WriteQueue::<()>::new(&Options { max_queue_bytes: one * 2, ..Options::default() });
        let _answers = [queue.push(request(1)).unwrap(), queue.push(request(1)).unwrap()];
        assert!(matches!(queue.push(request(1)), Err(StoreError::Overloaded(_))));
    }

    #[test]
    fn groups_are_bounded_and_closing_drains() {
        let queue = WriteQueue::<()>::new(&Options { max_group_operations: 5, ..Options::default() });
        let _answers: Vec<_> = (0..4).map(|_| queue.push(request(2)).unwrap()).collect();
        queue.push_job(()).unwrap();
        queue.close();
        assert!(matches!(queue.push(request(1)), Err(StoreError::Unavailable(_))));
        assert!(queue.push_job(()).is_err());
        let first = queue.take(None);
        assert_eq!((first.writes.len(), first.job, first.closed), (2, Some(()), false));
        let second = queue.take(None);
        assert_eq!((second.writes.len(), second.closed), (2, true));
    }
}
