-- Version 5: the filters of many blocks turned by a right angle, in the format of filter_group.rs, so that a search reads the
-- bits that it asks about and no others. A block has its bits in one group, or a filter of its own in block_filters, or
-- neither. Slices whose group is not there belong to nobody.
CREATE TABLE filter_groups (
    group_key INTEGER PRIMARY KEY,
    word_log2 INTEGER NOT NULL,
    run_log2  INTEGER NOT NULL,
    blocks    BLOB NOT NULL
);
CREATE TABLE filter_slices (
    slice_key INTEGER PRIMARY KEY,
    bits      BLOB NOT NULL
);
