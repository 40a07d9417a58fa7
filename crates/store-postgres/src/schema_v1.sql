-- Version 1. Texts are bytea: ids and names hold any character, NUL included, and compare bytewise. Hashes are keyed
-- by meta.hash_key.
--
-- A position is a number that grows with every write. Its upper part is the number of the partition that was
-- current then (position >> 40), so that a row's place says when it came, whatever its span's times are.

-- hash_key: 16 random bytes. position_floor: a lower bound of the latest position, for when the rows that tell it are
-- deleted. partition_days: how long a partition is the current one.
CREATE TABLE meta (
    name   text PRIMARY KEY,
    number bigint,
    bytes  bytea
);

CREATE TABLE accounts (
    account_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     bytea NOT NULL
);

-- The latest one that has begun is the current one; those ahead are made in time.
CREATE TABLE partitions (
    number    integer PRIMARY KEY,
    begins_at timestamptz NOT NULL
);

-- One row a trace, kept exact in the transaction that changes its spans. The head is the span that names the trace: the
-- earliest one without a parent, else the earliest one. start_slot is the start in steps of 2^24 microseconds: traces
-- arrive inside out, so that the exact start changes often and is in no index, and an update stays in its page. The
-- newest start is that of the span that started last. Costs are in units of 10^-12 dollars.
CREATE TABLE traces (
    trace_hash       bigint NOT NULL,
    start_slot       bigint NOT NULL,
    start_micros     bigint NOT NULL,
    end_micros       bigint,
    first_sequence   bigint NOT NULL,
    last_sequence    bigint NOT NULL,
    head_micros      bigint NOT NULL,
    newest_micros    bigint NOT NULL,
    payload_bytes    bigint NOT NULL,
    call_input       bigint NOT NULL,
    call_output      bigint NOT NULL,
    call_cost        bigint NOT NULL,
    aggregate_input  bigint NOT NULL,
    aggregate_output bigint NOT NULL,
    aggregate_cost   bigint NOT NULL,
    account_key      integer NOT NULL,
    span_count       integer NOT NULL,
    open_count       integer NOT NULL,
    error_count      integer NOT NULL,
    call_count       integer NOT NULL,
    call_costs       integer NOT NULL,
    aggregate_count  integer NOT NULL,
    aggregate_costs  integer NOT NULL,
    start_nanos      smallint NOT NULL,
    end_nanos        smallint,
    head_nanos       smallint NOT NULL,
    newest_nanos     smallint NOT NULL,
    head_status      smallint,
    head_has_parent  boolean NOT NULL,
    trace_id         bytea NOT NULL,
    head_id          bytea NOT NULL,
    head_name        bytea NOT NULL,
    agent_name       bytea
) WITH (fillfactor = 50);
CREATE INDEX traces_by_hash ON traces (trace_hash);
CREATE INDEX traces_by_start ON traces (account_key, start_slot);

-- One row a span. sequence is the position of the first write, version that of the latest one. The payloads are in
-- the block, beginning at the offset of its content. What an index holds does not change with the usual second write.
CREATE TABLE spans (
    sequence                   bigint NOT NULL,
    version                    bigint NOT NULL,
    trace_hash                 bigint NOT NULL,
    id_hash                    bigint NOT NULL,
    start_micros               bigint NOT NULL,
    end_micros                 bigint,
    block_key                  bigint,
    task_hash                  bigint,
    input_tokens               bigint,
    output_tokens              bigint,
    cached_tokens              bigint,
    cost                       bigint,
    account_key                integer NOT NULL,
    block_offset               integer,
    payload_bytes              integer NOT NULL,
    start_nanos                smallint NOT NULL,
    end_nanos                  smallint,
    status                     smallint,
    span_type                  smallint,
    usage_kind                 smallint,
    trace_id                   bytea NOT NULL,
    id                         bytea NOT NULL,
    name                       bytea NOT NULL,
    parent_id                  bytea,
    task_id                    bytea,
    group_id                   bytea,
    application_variant_id     bytea,
    application_interaction_id bytea,
    obs_trace_id               bytea,
    obs_span_id                bytea,
    agent_id                   bytea,
    agent_name                 bytea,
    acp_type                   bytea,
    model                      bytea,
    error_type                 bytea,
    error_message              bytea,
    PRIMARY KEY (sequence)
) PARTITION BY RANGE (sequence);
CREATE INDEX spans_by_identity ON spans (trace_hash, id_hash);
CREATE INDEX spans_by_id ON spans (id_hash);
CREATE INDEX spans_by_start ON spans (account_key, start_micros);
CREATE INDEX spans_by_task ON spans (account_key, task_hash) WHERE task_hash IS NOT NULL;

-- Spans that were written more than once, in the order of their latest write.
CREATE TABLE rewrites (
    version  bigint PRIMARY KEY,
    sequence bigint NOT NULL
);

-- Payload blocks in the format of block.rs. dead_spans and dead_bytes belong to replaced versions.
CREATE TABLE blocks (
    block_key  bigint NOT NULL,
    raw_bytes  bigint NOT NULL,
    dead_bytes bigint NOT NULL,
    spans      integer NOT NULL,
    dead_spans integer NOT NULL,
    frame      bytea NOT NULL,
    PRIMARY KEY (block_key)
) PARTITION BY RANGE (block_key);
