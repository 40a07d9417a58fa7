/// Why a store could not answer at all. What is wrong with one span is a [`Rejection`](crate::Rejection).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached or is shutting down. Trying again later may help; nothing of the failed
    /// request is stored unless the answer was lost on the way.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The store has more work queued than it may hold. Trying again later helps; nothing is stored.
    #[error("store overloaded: {0}")]
    Overloaded(String),
    /// What is on disk is damaged or written by an unknown version. Names the place.
    #[error("store damaged: {0}")]
    Damaged(String),
    /// A query field has a value that no engine can answer.
    #[error("{field}: {message}")]
    InvalidQuery {
        /// The field of the query.
        field: &'static str,
        /// What was expected.
        message: String,
    },
}

impl StoreError {
    /// Returns whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Overloaded(_))
    }
}
