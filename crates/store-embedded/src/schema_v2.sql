-- Version 2: what is kept of payloads beside them (endspan_model::Facets), and its sums for traces. The tokens of a
-- trace are those of its calls, or, if no call reported any, those of its aggregates.
ALTER TABLE spans ADD COLUMN input_tokens INTEGER;
ALTER TABLE spans ADD COLUMN output_tokens INTEGER;
ALTER TABLE spans ADD COLUMN usage_kind INTEGER;
ALTER TABLE spans ADD COLUMN agent_id TEXT;
ALTER TABLE spans ADD COLUMN agent_name TEXT;
ALTER TABLE spans ADD COLUMN acp_type TEXT;

ALTER TABLE traces ADD COLUMN call_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN call_input INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN call_output INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN aggregate_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN aggregate_input INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traces ADD COLUMN aggregate_output INTEGER NOT NULL DEFAULT 0;
