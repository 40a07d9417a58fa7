-- Version 4: what words and what runs of three bytes a settled block holds, in the format of block_filter.rs, so that a
-- search for text passes over blocks. A block without a filter may hold anything.
ALTER TABLE block_figures ADD COLUMN filtered INTEGER NOT NULL DEFAULT 0;
CREATE INDEX blocks_unfiltered ON block_figures (block_key) WHERE settled = 1 AND filtered = 0;
CREATE TABLE block_filters (
    block_key INTEGER PRIMARY KEY,
    filter    BLOB NOT NULL
);
-- Trace ids in the form of a UUID, but not in the form that compact_id.rs packs: those with capital letters.
CREATE INDEX traces_by_odd_id ON traces (trace_id COLLATE NOCASE) WHERE typeof(trace_id) = 'text' AND length(trace_id) = 36;
