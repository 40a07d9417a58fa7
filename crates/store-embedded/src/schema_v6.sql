-- Version 6: what is said of spans. The sequence is the span's, which it keeps when it is written again or moved. Codes
-- are those of endspan_store::assessment. Times are in microseconds.
CREATE TABLE assessments (
    assessment_key INTEGER PRIMARY KEY,
    account_key    INTEGER NOT NULL,
    id             TEXT NOT NULL,
    sequence       INTEGER NOT NULL,
    type           INTEGER NOT NULL,
    approval       INTEGER,
    rating         INTEGER,
    comment        TEXT,
    rubric         BLOB,
    metadata       BLOB,
    overwrite      BLOB,
    created_by     TEXT NOT NULL,
    created_micros INTEGER NOT NULL,
    updated_micros INTEGER NOT NULL,
    revision       INTEGER NOT NULL
);
CREATE UNIQUE INDEX assessments_by_id ON assessments (account_key, id);
CREATE INDEX assessments_by_span ON assessments (sequence);
CREATE UNIQUE INDEX one_overwrite ON assessments (sequence) WHERE type = 6;
