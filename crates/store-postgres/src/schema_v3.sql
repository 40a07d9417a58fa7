-- Version 3: what is said of spans. The sequence is the span's, which it keeps when it is written again or moved. Codes
-- are those of endspan_store::assessment. Times are in microseconds.
CREATE TABLE assessments (
    sequence       bigint NOT NULL,
    revision       bigint NOT NULL,
    created_micros bigint NOT NULL,
    updated_micros bigint NOT NULL,
    account_key    integer NOT NULL,
    type           smallint NOT NULL,
    approval       smallint,
    rating         smallint,
    id             bytea NOT NULL,
    created_by     bytea NOT NULL,
    comment        bytea,
    rubric         bytea,
    metadata       bytea,
    overwrite      bytea,
    PRIMARY KEY (account_key, id)
);
CREATE INDEX assessments_by_span ON assessments (sequence);
CREATE UNIQUE INDEX one_overwrite ON assessments (sequence) WHERE type = 6;
