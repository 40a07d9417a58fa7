use std::time::Duration;

/// Where a [`PostgresStore`](crate::PostgresStore) is, its bounds and habits. The defaults suit a server on two cores.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The database: `postgres://user:password@host:port/database`, or libpq's `host=... dbname=...` form.
    pub url: String,
    /// The schema that holds the tables. Default `endspan`.
    pub schema: String,
    /// Days that a partition is the current one; used when the schema is made. Default 7.
    pub partition_days: u32,
    /// Most operations that may wait for the writers; beyond it a write is answered `Overloaded`.
    /// Default 100,000.
    pub max_queue_operations: usize,
    /// Most bytes of spans that may wait for the writers. Default 64 MiB.
    pub max_queue_bytes: usize,
    /// Most operations that one transaction takes. Default 2,048.
    pub max_group_operations: usize,
    /// Most bytes of spans that one transaction takes; a single larger request is taken alone. Default 8 MiB.
    pub max_group_bytes: usize,
    /// Largest payload of one span; a larger one is rejected as too large. Default 128 MiB.
    pub max_span_bytes: usize,
    /// Connections that write: one prepares a group while another one's transaction runs. Default 2.
    pub writers: usize,
    /// Connections that read. Default 8.
    pub readers: usize,
    /// How long a read waits for a free connection before it is answered `Overloaded`. Default 10 s.
    pub wait_timeout: Duration,
    /// How long a connection attempt may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long one statement may take. Default 60 s.
    pub statement_timeout: Duration,
    /// How long a write is tried again after the database went away, before it is answered `Unavailable`.
    /// Default 10 s.
    pub retry_for: Duration,
}

impl Options {
    /// Returns the defaults for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "endspan".to_owned(),
            partition_days: 7,
            max_queue_operations: 100_000,
            max_queue_bytes: 64 << 20,
            max_group_operations: 2048,
            max_group_bytes: 8 << 20,
            max_span_bytes: 128 << 20,
            writers: 2,
            readers: 8,
            wait_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
            retry_for: Duration::from_secs(10),
        }
    }
}

/// Leaves the password out.
impl std::fmt::Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Options").field("schema", &self.schema).finish_non_exhaustive()
    }
}
