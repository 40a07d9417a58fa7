/** The answers of the server's own API, as far as the pages use them. */

export interface TraceSummaryAnswer {
  account: string;
  trace_id: string;
  name: string;
  agent?: string | null;
  start_time: string;
  end_time?: string | null;
  span_count: number;
  open_count: number;
  error_count: number;
  status?: string | null;
  input_tokens?: number | null;
  output_tokens?: number | null;
  cost_usd?: number | null;
}

export interface TracePageAnswer {
  traces: TraceSummaryAnswer[];
  next?: string | null;
}

/** A trace's structure by columns: entry `i` of every column belongs to span `i`. */
export interface ColumnsAnswer {
  trace_id: string;
  account: string;
  /** Where the live stream goes on from. */
  position?: string | null;
  base_unix_micros: number;
  names: string[];
  types: string[];
  models?: string[];
  errors?: string[];
  missing_parents: string[];
  columns: {
    id: string[];
    /** Position of the parent; -1 for none; `-2 - k` for entry `k` of `missing_parents`. */
    parent: number[];
    name: number[];
    /** Entry of `types`, -1 for none. */
    type: number[];
    /** 0 none, 1 SUCCESS, 2 ERROR, 3 CANCELED. */
    status: number[];
    /** Microseconds since `base_unix_micros`. */
    start: number[];
    /** Microseconds; null while the span runs. */
    duration: (number | null)[];
    input_tokens?: (number | null)[];
    output_tokens?: (number | null)[];
    cached_tokens?: (number | null)[];
    cost_usd?: (number | null)[];
    model?: number[];
    error?: number[];
  };
}

/** A span, with or without its payloads. */
export interface SpanAnswer {
  account?: string;
  trace_id: string;
  id: string;
  parent_id?: string | null;
  name: string;
  type?: string | null;
  status?: string | null;
  start_time: string;
  end_time?: string | null;
  model?: string | null;
  error?: string | null;
  input_tokens?: number | null;
  output_tokens?: number | null;
  cached_tokens?: number | null;
  cost_usd?: number | null;
  /** The store's position of this version. */
  position?: number;
}

/** A whole trace, span by span. */
export interface TraceAnswer {
  trace_id: string;
  spans: SpanAnswer[];
}

export interface IngestAnswer {
  protocol: string;
  received: number;
  stored: number;
  superseded: number;
  unacknowledged: number;
  /** By reason; reasons that did not occur are absent. */
  rejected: Record<string, number>;
}

export interface ClientAnswer {
  name: string;
  version?: string | null;
  last_seen: string;
  delivered: number;
  /** By reason. */
  dropped: Record<string, number>;
}

export interface StatsAnswer {
  engine: string;
  schema_version: number;
  spans: number;
  traces: number;
  disk_bytes: number;
  raw_payload_bytes: number;
  stored_payload_bytes: number;
  superseded_payload_bytes: number;
  uptime_seconds: number;
  ingest: IngestAnswer[];
  retention?: { max_age_seconds?: number | null; max_bytes?: number | null } | null;
  clients?: ClientAnswer[];
}
