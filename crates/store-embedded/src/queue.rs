//! The writer's queue: the backlog of writes, and background jobs beside it, for one thread.

use std::{collections::VecDeque, time::Duration};

use endspan_store::{
    StoreError, WriteRequest,
    engine::{Answer, Backlog, BacklogLimits, QueuedWrite},
};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::Options;

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
}

#[derive(Debug)]
struct State<J> {
    writes: Backlog,
    jobs: VecDeque<J>,
}

impl<J> WriteQueue<J> {
    pub(crate) fn new(options: &Options) -> Self {
        let writes = Backlog::new(BacklogLimits {
            max_operations: options.max_queue_operations,
            max_bytes: options.max_queue_bytes,
            max_group_operations: options.max_group_operations,
            max_group_bytes: options.max_group_bytes,
        });
        Self { state: Mutex::new(State { writes, jobs: VecDeque::new() }), arrived: Condvar::new() }
    }

    /// Queues a request. An empty queue takes any request, whatever its size.
    pub(crate) fn push(&self, request: WriteRequest) -> Result<oneshot::Receiver<Answer>, StoreError> {
        let answer = self.state.lock().writes.push(request)?;
        self.arrived.notify_one();
        Ok(answer)
    }

    /// Queues background work; gives it back when the queue is closed.
    pub(crate) fn push_job(&self, job: J) -> Result<(), J> {
        let mut state = self.state.lock();
        if state.writes.is_closed() {
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
        if state.writes.is_empty() && state.jobs.is_empty() && !state.writes.is_closed() {
            match patience {
                Some(patience) => {
                    self.arrived.wait_for(&mut state, patience);
                }
                None => self.arrived.wait(&mut state),
            }
        }
        let writes = state.writes.take_group();
        let job = state.jobs.pop_front();
        let closed = state.writes.is_closed() && state.writes.is_empty() && state.jobs.is_empty();
        Work { writes, job, closed }
    }

    /// Refuses what comes from now on; what is queued will still be taken.
    pub(crate) fn close(&self) {
        self.state.lock().writes.close();
        self.arrived.notify_all();
    }

    pub(crate) fn has_writes(&self) -> bool {
        !self.state.lock().writes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use endspan_model::{AccountId, Span, Timestamp};
    use endspan_store::WriteOperation;

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
    fn jobs_go_one_a_turn_beside_groups_and_closing_drains_both() {
        let queue = WriteQueue::new(&Options { max_group_operations: 5, ..Options::default() });
        let _answers: Vec<_> = (0..4).map(|_| queue.push(request(2)).unwrap()).collect();
        queue.push_job(1).unwrap();
        queue.push_job(2).unwrap();
        queue.close();
        assert!(matches!(queue.push(request(1)), Err(StoreError::Unavailable(_))));
        assert_eq!(queue.push_job(3), Err(3));
        let first = queue.take(None);
        assert_eq!((first.writes.len(), first.job, first.closed), (2, Some(1), false));
        let second = queue.take(None);
        assert_eq!((second.writes.len(), second.job, second.closed), (2, Some(2), true));
    }
}
