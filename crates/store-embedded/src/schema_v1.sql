-- Version 1. Ids are in the form of compact_id.rs; hashes are keyed by meta.hash_key.

-- hash_key: 16 random bytes. id_watermark: see span_ids. latest: a lower bound of the latest position, for when
-- the rows that tell it are deleted.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE accounts (
    account_key INTEGER PRIMARY KEY,
    account     TEXT NOT NULL UNIQUE
);

-- One row a trace, kept exact in the transaction that changes its spans. The head is the span that names the
-- trace: the earliest one without a parent, else the earliest one.
CREATE TABLE traces (
    trace_key    INTEGER PRIMARY KEY,
    account_key  INTEGER NOT NULL,
    trace_hash   INTEGER NOT NULL,
    trace_id     NOT NULL,
    start_micros INTEGER NOT NULL,
    start_nanos  INTEGER NOT NULL,
    end_micros   INTEGER,
    end_nanos    INTEGER,
    span_count   INTEGER NOT NULL,
    open_count   INTEGER NOT NULL,
    error_count  INTEGER NOT NULL,
    head         INTEGER NOT NULL
);
CREATE INDEX traces_by_hash ON traces (trace_hash);
CREATE INDEX traces_by_start ON traces (account_key, start_micros);

-- One row a span. sequence is the position of the first write, version that of the latest one if there were
-- more. The duration is in whole microseconds between the microseconds of start and end; the nanoseconds below
-- them stand apart. The payloads are in the block, beginning at the offset of its content.
CREATE TABLE spans (
    sequence                   INTEGER PRIMARY KEY,
    version                    INTEGER,
    account_key                INTEGER NOT NULL,
    trace_key                  INTEGER NOT NULL,
    id_hash                    INTEGER NOT NULL,
    id                         NOT NULL,
    parent_id,
    name                       TEXT NOT NULL,
    start_micros               INTEGER NOT NULL,
    start_nanos                INTEGER NOT NULL,
    duration_micros            INTEGER,
    end_nanos                  INTEGER,
    status                     INTEGER,
    type                       INTEGER,
    task_id,
    group_id,
    application_variant_id,
    application_interaction_id,
    obs_trace_id,
    obs_span_id,
    block_key                  INTEGER,
    block_offset               INTEGER,
    payload_bytes              INTEGER NOT NULL
);
CREATE INDEX spans_by_identity ON spans (trace_key, id_hash);
CREATE INDEX spans_by_start ON spans (account_key, start_micros);
CREATE INDEX spans_by_task ON spans (account_key, task_id) WHERE task_id IS NOT NULL;

-- Spans that were written more than once, in the order of their latest write.
CREATE TABLE rewrites (
    version  INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL
);

-- Spans by a hash of account and id. Filled behind the writes in sorted slices: spans with a sequence above
-- meta.id_watermark may be missing here and are found in memory.
CREATE TABLE span_ids (
    id_hash  INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (id_hash, sequence)
) WITHOUT ROWID;

-- Payload blocks in the format of block.rs, and what is known of each. A block that is not settled waits for the
-- compactor.
CREATE TABLE blocks (
    block_key INTEGER PRIMARY KEY,
    frame     BLOB NOT NULL
);
CREATE TABLE block_figures (
    block_key    INTEGER PRIMARY KEY,
    settled      INTEGER NOT NULL,
    spans        INTEGER NOT NULL,
    raw_bytes    INTEGER NOT NULL,
    stored_bytes INTEGER NOT NULL,
    dead_spans   INTEGER NOT NULL,
    dead_bytes   INTEGER NOT NULL
);
CREATE INDEX blocks_unsettled ON block_figures (block_key) WHERE settled = 0;
