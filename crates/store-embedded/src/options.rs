/// Bounds and habits of an [`EmbeddedStore`](crate::EmbeddedStore). The defaults suit a server on two cores.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Most operations that may wait for the writer; beyond it a write is answered `Overloaded`.
    /// Default 100,000.
    pub max_queue_operations: usize,
    /// Most bytes of spans that may wait for the writer. Default 64 MiB.
    pub max_queue_bytes: usize,
    /// Most operations that one commit takes. Default 4,096.
    pub max_group_operations: usize,
    /// Most bytes of spans that one commit takes; a single larger request is taken alone. Default 8 MiB.
    pub max_group_bytes: usize,
    /// Largest payload of one span; a larger one is rejected as too large. Default 128 MiB.
    pub max_span_bytes: usize,
    /// Threads that answer reads, each with its own page cache. Default 3.
    pub reader_threads: usize,
    /// Most reads that may wait; beyond it a read is answered `Overloaded`. Default 4,096.
    pub max_queue_reads: usize,
    /// Page cache of the writer. Default 16 MiB.
    pub writer_cache_bytes: usize,
    /// Page cache of each reader. Default 4 MiB.
    pub reader_cache_bytes: usize,
    /// Size of the log at which it is carried into the file. Default 16 MiB.
    pub checkpoint_bytes: u64,
    /// Whether small blocks are merged in the background. Default yes.
    pub compaction: bool,
    /// Entries that the id index collects in memory before they go to disk in sorted slices. Default 131,072.
    pub id_buffer_entries: usize,
    /// Most memory for the columns that filters look at; older rows than fit are read from disk. A span takes 45 to 70 bytes.
    /// Default 256 MiB; 0 for none.
    pub column_bytes: usize,
    /// Rows of a segment of columns, for tests that need many.
    #[doc(hidden)]
    pub column_segment_rows: usize,
    /// Blocks of a group of filters, for tests that need many groups; at most 128.
    #[doc(hidden)]
    pub filter_group_blocks: usize,
    /// The SQLite VFS to use, for tests that simulate a failing disk.
    #[doc(hidden)]
    pub vfs: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_queue_operations: 100_000,
            max_queue_bytes: 64 << 20,
            max_group_operations: 4096,
            max_group_bytes: 8 << 20,
            max_span_bytes: 128 << 20,
            reader_threads: 3,
            max_queue_reads: 4096,
            writer_cache_bytes: 16 << 20,
            reader_cache_bytes: 4 << 20,
            checkpoint_bytes: 16 << 20,
            compaction: true,
            id_buffer_entries: 1 << 17,
            column_bytes: 256 << 20,
            column_segment_rows: 16_384,
            filter_group_blocks: 128,
            vfs: None,
        }
    }
}
