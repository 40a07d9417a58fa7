//! The writers' queue: the backlog of writes, for several tasks that take from it.

use endspan_store::{
    StoreError, WriteRequest,
    engine::{Answer, Backlog, BacklogLimits, QueuedWrite},
};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::Options;

/// A queue of writes.
#[derive(Debug)]
pub(crate) struct WriteQueue {
    writes: Mutex<Backlog>,
    arrived: Notify,
}

impl WriteQueue {
    pub(crate) fn new(options: &Options) -> Self {
        let writes = Backlog::new(BacklogLimits {
            max_operations: options.max_queue_operations,
            max_bytes: options.max_queue_bytes,
            max_group_operations: options.max_group_operations,
            max_group_bytes: options.max_group_bytes,
        });
        Self { writes: Mutex::new(writes), arrived: Notify::new() }
    }

    /// Queues a request. An empty queue takes any request, whatever its size.
    pub(crate) fn push(&self, request: WriteRequest) -> Result<oneshot::Receiver<Answer>, StoreError> {
        let answer = self.writes.lock().push(request)?;
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
        let mut writes = self.writes.lock();
        let group = writes.take_group();
        if !writes.is_empty() || writes.is_closed() {
            // For the next writer.
            self.arrived.notify_one();
        }
        (!group.is_empty() || writes.is_closed()).then_some(group)
    }

    /// Refuses what comes from now on; what is queued will still be taken.
    pub(crate) fn close(&self) {
        self.writes.lock().close();
        self.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use endspan_model::{AccountId, Span, Timestamp};
    use endspan_store::WriteOperation;

    use super::*;

    fn request() -> WriteRequest {
        WriteRequest {
            account: AccountId::default(),
            operations: vec![WriteOperation::Upsert(Span::new("t", "s", "n", Timestamp::MIN))],
            all_or_nothing: false,
            check_parents: false,
        }
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_then_ends_for_every_writer() {
        let mut options = Options::new("");
        options.max_group_operations = 1;
        let queue = WriteQueue::new(&options);
        let (one, two, ()) = tokio::join!(queue.take(), queue.take(), async {
            let _answers = [queue.push(request()).unwrap(), queue.push(request()).unwrap()];
        });
        assert_eq!((one.map(|group| group.len()), two.map(|group| group.len())), (Some(1), Some(1)));
        let (one, two, ()) = tokio::join!(queue.take(), queue.take(), async { queue.close() });
        assert!(one.is_none() && two.is_none());
    }
}
