// Made from the server's /openapi.json by `npm run api-types`. Do not edit.

export interface paths {
    "/api/info": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Returns what this server is and what it takes. */
        get: operations["info"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/spans/{trace_id}/{span_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Returns one span with its payloads. */
        get: operations["get_span"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/stats": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Returns figures about the store and the ingest, at most five seconds old. */
        get: operations["stats"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/tail": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Streams spans as they are stored.
         * @description Server-sent events: first `ready`, then `span` with a span as data. An event's id is the span's position
         *     in the store, so that a client that comes back with `Last-Event-ID` misses nothing. A span that is stored
         *     again meanwhile comes once, in its latest version.
         */
        get: operations["tail"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/traces": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists traces, newest first. */
        get: operations["list_traces"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/traces/{trace_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Returns every span of a trace. */
        get: operations["get_trace"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/traces/{trace_id}/structure": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Returns a trace's spans without payloads, by columns. */
        get: operations["get_trace_structure"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description What this server is. */
        Info: {
            /** @description The store engine. */
            engine: string;
            limits: components["schemas"]["Limits"];
            /** @description Always `endspan`. */
            name: string;
            /** @description The protocols that spans may be written in. */
            protocols: string[];
            version: string;
        };
        /** @description What one protocol took in. */
        IngestStats: {
            /** @description `agentex` or `sgp`. */
            protocol: string;
            /** Format: int64 */
            received: number;
            /** @description Rejected spans by reason; reasons that did not occur are left out. */
            rejected: {
                [key: string]: number;
            };
            /** Format: int64 */
            stored: number;
            /** Format: int64 */
            superseded: number;
            /**
             * Format: int64
             * @description The client left before the answer.
             */
            unacknowledged: number;
        };
        /** @description What a client may send at most. */
        Limits: {
            max_batch_spans: number;
            max_body_bytes: number;
            max_id_bytes: number;
            max_name_bytes: number;
            max_payload_depth: number;
            max_span_bytes: number;
        };
        /** @description An error. */
        ReadError: {
            /** @description What is wrong, for people. */
            detail: string;
            /** @description The parameter at fault, where one is. */
            field?: string | null;
        };
        /** @description One span with everything that the store holds of it. */
        ReadSpan: {
            account: string;
            application_interaction_id: string | null;
            application_variant_id: string | null;
            /** @description Null while the span runs. */
            end_time: string | null;
            expected?: Record<string, never> | null;
            group_id: string | null;
            id: string;
            /** @description Only with `payloads=true`, as the four below. */
            input?: Record<string, never> | null;
            metadata?: Record<string, never> | null;
            name: string;
            obs_span_id: string | null;
            obs_trace_id: string | null;
            otel?: Record<string, never> | null;
            output?: Record<string, never> | null;
            parent_id: string | null;
            /**
             * Format: int64
             * @description The store's position of this version; also the id of its event in the live tail.
             */
            position: number;
            start_time: string;
            /** @description `SUCCESS`, `ERROR` or `CANCELED`; a completed span without one reads `SUCCESS`, a running one null. */
            status: string | null;
            task_id: string | null;
            trace_id: string;
            /** @description One of the 26 types, null when none was given. */
            type: string | null;
        };
        /** @description One trace, summed up. */
        ReadTrace: {
            account: string;
            /** @description The agent's name, of the span that gives the name. */
            agent: string | null;
            /** @description The latest end; null while no span has ended. */
            end_time: string | null;
            /**
             * Format: int64
             * @description Spans with the status `ERROR`.
             */
            error_count: number;
            /**
             * Format: int64
             * @description Tokens read by models, of the calls of the trace, or if none reported any, of its aggregates; null when no
             *     span reported any.
             */
            input_tokens: number | null;
            /** @description The root span's name, else the earliest span's. */
            name: string;
            /**
             * Format: int64
             * @description Spans that have not ended.
             */
            open_count: number;
            /**
             * Format: int64
             * @description Tokens written by models, likewise.
             */
            output_tokens: number | null;
            /** Format: int64 */
            span_count: number;
            start_time: string;
            /** @description The root span's status. */
            status: string | null;
            trace_id: string;
        };
        /** @description Figures about the store and what the server took in since it started. */
        Stats: {
            /**
             * Format: int64
             * @description Bytes on disk, logs included.
             */
            disk_bytes: number;
            /** @description The store engine, for example `embedded`. */
            engine: string;
            /** @description Spans taken in since the start, by protocol. */
            ingest: components["schemas"]["IngestStats"][];
            /**
             * Format: int64
             * @description Bytes of payload before compression.
             */
            raw_payload_bytes: number;
            /** Format: int32 */
            schema_version: number;
            /**
             * Format: int64
             * @description Stored spans of all accounts.
             */
            spans: number;
            /**
             * Format: int64
             * @description Bytes of payload as stored.
             */
            stored_payload_bytes: number;
            /**
             * Format: int64
             * @description Bytes of stored payload of replaced versions that wait for compaction.
             */
            superseded_payload_bytes: number;
            /**
             * Format: int64
             * @description Stored traces of all accounts.
             */
            traces: number;
            /** Format: int64 */
            uptime_seconds: number;
        };
        /** @description The columns: all of the same length, ordered by start, then id. */
        StructureColumns: {
            /** @description Microseconds from start to end, negative when the end comes first; null while the span runs. */
            duration: (number | null)[];
            id: string[];
            /** @description Tokens read by the model; null where none were reported. Absent when no span reported any, as the next. */
            input_tokens?: (number | null)[] | null;
            /** @description Entry of `names`. */
            name: number[];
            /** @description Tokens written by the model. */
            output_tokens?: (number | null)[] | null;
            /** @description Position of the parent; -1 for none; `-2 - k` for entry `k` of `missing_parents`. */
            parent: number[];
            /** @description Microseconds from the base to the start. */
            start: number[];
            /** @description 0 for none, 1 `SUCCESS`, 2 `ERROR`, 3 `CANCELED`, read as on spans. */
            status: number[];
            /** @description Entry of `types`; -1 for none. */
            type: number[];
        };
        /** @description A whole trace. */
        Trace: {
            /** @description By start, then id. */
            spans: components["schemas"]["ReadSpan"][];
            trace_id: string;
        };
        /** @description A trace without payloads, by columns. */
        TraceStructure: {
            /** @description The account that the spans belong to. */
            account: string;
            /**
             * Format: int64
             * @description The earliest start, in microseconds since the Unix epoch. Starts count from it.
             */
            base_unix_micros: number;
            columns: components["schemas"]["StructureColumns"];
            /** @description Ids of parents that are not among the spans. */
            missing_parents: string[];
            /** @description The names that `name` points into. */
            names: string[];
            /**
             * @description Other accounts that hold spans of a trace with this id; without an account header the one with the
             *     earliest span is shown.
             */
            other_accounts: string[];
            /**
             * Format: int64
             * @description The highest position of these spans in the store: the live tail goes on from here (`after`).
             */
            position: number;
            trace_id: string;
            /** @description The types that `type` points into. */
            types: string[];
        };
        /** @description A page of traces. */
        TracesPage: {
            /** @description Give it as `after` to get the next page; null at the end. */
            next: string | null;
            traces: components["schemas"]["ReadTrace"][];
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    info: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The server */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Info"];
                };
            };
            /** @description The store is not available */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
        };
    };
    get_span: {
        parameters: {
            query?: never;
            header?: {
                /** @description The account that owns the spans; without it `default` (on `/api`: all accounts). */
                "x-selected-account-id"?: string | null;
            };
            path: {
                /** @description The trace's id, percent-encoded; `%2F` is a slash. */
                trace_id: string;
                /** @description The span's id, percent-encoded; `%2F` is a slash. */
                span_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The span */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadSpan"];
                };
            };
            /** @description There is no such span */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description An id is malformed */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description The store is not available */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
        };
    };
    stats: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The figures */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Stats"];
                };
            };
            /** @description The store is not available */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
        };
    };
    tail: {
        parameters: {
            query?: {
                /** @description Only spans of this trace. */
                trace_id?: string;
                /** @description Whether spans come with their payloads. */
                payloads?: boolean;
                /**
                 * @description Begin behind this position; 0 is before everything. Without it (and without Last-Event-ID) only what is
                 *     stored from now on.
                 */
                after?: number;
            };
            header?: {
                /** @description The id of the last event seen; outranks `after`. */
                "Last-Event-ID"?: number | null;
                /** @description The account that owns the spans; without it `default` (on `/api`: all accounts). */
                "x-selected-account-id"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The stream */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
            /** @description A parameter is malformed */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description Too many tails are open, or the store is not available */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
        };
    };
    list_traces: {
        parameters: {
            query?: {
                /** @description Traces on a page. */
                limit?: number;
                /** @description `next` of the page before. */
                after?: string;
                /** @description Only traces that start at this moment or later: ISO 8601, or Unix seconds. */
                start_after?: string;
                /** @description Only traces that start before this moment. */
                start_before?: string;
                /** @description Only traces whose name contains this text; letter case does not count. */
                name?: string;
                /**
                 * @description Only traces that stand so: `error` or `canceled` by the root's status, else `running` while a span has not
                 *     ended, else `ok`. Several with commas between them.
                 * @example error,running
                 */
                status?: string;
                /** @description Only traces of the agent with exactly this name. */
                agent?: string;
                /** @description Only traces with, or without, a span of the status `ERROR`. */
                has_error?: boolean;
                /** @description Only traces that took at least this long, from the earliest start to the latest end. */
                min_duration_ms?: number;
                /** @description Only traces that took at most this long. */
                max_duration_ms?: number;
                /** @description Only traces with at least this many tokens, in and out together. */
                min_tokens?: number;
                /** @description Only traces with at most this many tokens. */
                max_tokens?: number;
            };
            header?: {
                /** @description The account that owns the spans; without it `default` (on `/api`: all accounts). */
                "x-selected-account-id"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The page */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TracesPage"];
                };
            };
            /** @description A parameter is malformed */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description The store is not available */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
        };
    };
    get_trace: {
        parameters: {
            query?: {
                /** @description Whether spans come with input, output, metadata, expected and otel. */
                payloads?: boolean;
            };
            header?: {
                /** @description The account that owns the spans; without it `default` (on `/api`: all accounts). */
                "x-selected-account-id"?: string | null;
            };
            path: {
                /** @description The trace's id, percent-encoded; `%2F` is a slash. */
                trace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The trace */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Trace"];
                };
            };
            /** @description There is no such trace */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description A parameter is malformed */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description The store is not available */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
        };
    };
    get_trace_structure: {
        parameters: {
            query?: never;
            header?: {
                /** @description The account that owns the spans; without it `default` (on `/api`: all accounts). */
                "x-selected-account-id"?: string | null;
            };
            path: {
                /** @description The trace's id, percent-encoded; `%2F` is a slash. */
                trace_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The structure */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TraceStructure"];
                };
            };
            /** @description There is no such trace */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description A parameter is malformed */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description The store is not available */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
        };
    };
}
