//! The contract's battery on this engine: as it comes, with background work squeezed in everywhere, and with
//! buffers so small that every path is taken.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use endspan_store::{SpanStore, conformance::Subject};
use endspan_store_embedded::{EmbeddedStore, Options};
use tempfile::TempDir;

struct Embedded {
    directory: TempDir,
    options: Options,
    store: Option<Arc<EmbeddedStore>>,
}

impl Embedded {
    fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Some(Arc::new(EmbeddedStore::open(directory.path(), options.clone()).unwrap()));
        Self { directory, options, store }
    }

    fn store(&self) -> &Arc<EmbeddedStore> {
        self.store.as_ref().unwrap()
    }
}

#[async_trait::async_trait]
impl Subject for Embedded {
    fn store(&self) -> Arc<dyn SpanStore> {
        Embedded::store(self).clone()
    }

    async fn reopen(&mut self) -> bool {
        Embedded::store(self).close().await.unwrap();
        self.store = None;
        self.store =
            Some(Arc::new(EmbeddedStore::open(self.directory.path(), self.options.clone()).unwrap()));
        true
    }

    async fn maintain(&mut self) {
        Embedded::store(self).maintain().await.unwrap();
    }
}

mod with_defaults {
    use super::*;

    fn new() -> Embedded {
        Embedded::with(Options::default())
    }

    endspan_store::conformance_suite!(new);
}

mod with_tiny_buffers {
    use super::*;

    fn new() -> Embedded {
        let mut options = Options::default();
        options.id_buffer_entries = 3;
        options.max_group_operations = 2;
        options.checkpoint_bytes = 1;
        options.writer_cache_bytes = 64 * 1024;
        options.reader_cache_bytes = 64 * 1024;
        options.reader_threads = 1;
        options.column_segment_rows = 3;
        options.filter_group_blocks = 1;
        // The columns have the last dozen rows, or all.
        static STORES: AtomicUsize = AtomicUsize::new(0);
        let is_odd = STORES.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        options.column_bytes = if is_odd { 4000 } else { 1 << 20 };
        Embedded::with(options)
    }

    endspan_store::conformance_suite!(new);
}
