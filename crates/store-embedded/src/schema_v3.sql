-- Version 3: more of what is kept of payloads beside them, its sums for traces, and what deletion and accounts need of a
-- trace: the latest start of its spans, and the bytes of their payloads. Costs are in units of 10^-12 US dollars.
ALTER TABLE spans ADD COLUMN cached_tokens INTEGER;
ALTER TABLE spans ADD COLUMN cost INTEGER;
ALTER TABLE spans ADD COLUMN model TEXT;
ALTER TABLE spans ADD COLUMN error_type TEXT;
ALTER TABLE spans ADD COLUMN error_message TEXT;

ALTER TABLE traces ADD COLUMN last_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN last_nanos INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN payload_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN call_cost_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN call_cost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN aggregate_cost_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN aggregate_cost INTEGER NOT NULL DEFAULT 0;
