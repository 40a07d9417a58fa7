// Made from the server's /openapi.json by `npm run api-types`. Do not edit.

export interface paths {
    "/api/accounts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the accounts that the caller may read, and what each has. */
        get: operations["list_accounts"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Returns every stored span as a line of JSON.
         * @description In the order of their latest writes. A span that is written while the export runs comes once or twice, never not at all. The
         *     answer breaks off if the store fails: a whole answer is a whole export.
         */
        get: operations["export_spans"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/import": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stores spans from lines of JSON, as `GET /api/export` answers them; at most 1000 lines at once.
         * @description Without an account header every span goes into the account that its line names.
         */
        post: operations["import_spans"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
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
    "/api/spans/{trace_id}/{span_id}/normal": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Returns what a span means: operation, model, messages, tool, usage, cost, error.
         * @description The normal form is made by the convention table from whatever instrumentation wrote the span.
         */
        get: operations["get_span_normal"];
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
        /**
         * Deletes the traces all of whose spans started within a range of time.
         * @description Needs the role `admin`. A trace with any span beyond the range stays whole. Without an account header, and a key
         *     bound to one, in every account.
         */
        delete: operations["delete_traces"];
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
        /**
         * Deletes a trace with everything in it.
         * @description Needs the role `admin`. Without an account header, and a key bound to one, in every account.
         */
        delete: operations["delete_trace"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/traces/{trace_id}/search": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Finds the spans of a trace that hold a text. */
        get: operations["search_trace"];
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
    "/api/traces/{trace_id}/usage": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Returns what a trace used and cost, counted once.
         * @description Usage is added up over model calls with no usage below them. Spans above that repeat it are compared, never
         *     added; two spans with the same answer of a provider are one call.
         */
        get: operations["get_trace_usage"];
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
        /** @description What an account has. */
        AccountFigures: {
            account: string;
            /** @description The latest start of a span. */
            newest_start: string;
            /** @description The earliest start of a span. */
            oldest_start: string;
            /**
             * Format: int64
             * @description Bytes of payload before compression.
             */
            payload_bytes: number;
            /** Format: int64 */
            spans: number;
            /**
             * Format: int64
             * @description Bytes on disk, as far as that can be told; null for a key that is bound to an account, as accounts share the disk.
             */
            stored_bytes: number | null;
            /** Format: int64 */
            traces: number;
        };
        /** @description The accounts that a caller may read. */
        Accounts: {
            /** @description By name. An account without spans is not among them. */
            accounts: components["schemas"]["AccountFigures"][];
        };
        /** @description An agent. */
        Agent: {
            /** @description What the agent does. */
            description?: string | null;
            /** @description The agent's id. */
            id?: string | null;
            /** @description The agent's name. */
            name?: string | null;
            /** @description The agent's version. */
            version?: string | null;
        };
        /** @description How the reported input and the cache went together, and how that is known. */
        CacheAccounting: {
            /** @description How that is known. */
            evidence: components["schemas"]["Evidence"];
            /** @description Whether the reported input already counted cached tokens. Where it did not, they were added. */
            included: boolean;
        };
        /** @description What one client sent since the start. */
        ClientStats: {
            /**
             * @description Spans that never came, by reason: what its processes say that they gave up since they started. Only SDKs of
             *     endspan say it; reasons that did not occur are left out.
             */
            dropped: {
                [key: string]: number;
            };
            /**
             * Format: int64
             * @description How many processes said so. One that delivers by several protocols counts for each.
             */
            dropped_instances: number;
            last_seen: string;
            /**
             * Format: int64
             * @description Of the spans: those that were refused.
             */
            rejected: number;
            /** Format: int64 */
            requests: number;
            /** Format: int64 */
            spans: number;
            /** @description The name that it sent as `User-Agent`, at most 200 characters; empty for those that sent none. */
            user_agent: string;
        };
        /**
         * @description Who defined a name.
         * @enum {string}
         */
        Convention: "gen_ai" | "gen_ai_old" | "open_inference" | "open_llmetry" | "vercel_ai" | "pydantic" | "langfuse" | "mlflow" | "google_adk" | "live_kit" | "anthropic" | "agentex";
        /** @description What a call costs, with the arithmetic. */
        Cost: {
            /** @description How it comes about: tokens times price, for each kind of tokens. */
            lines?: components["schemas"]["CostLine"][];
            /** @description The name under which the table has the model. */
            model: string;
            /** @description From when on this price holds; `None` from the beginning. */
            price_from?: string | null;
            /** @description The sum of the lines. */
            total: components["schemas"]["Dollars"];
        };
        /** @description One line of a calculation. */
        CostLine: {
            /** @description What they cost together. */
            amount: components["schemas"]["Dollars"];
            /** @description Dollars for a million of them. */
            dollars_per_million: components["schemas"]["Dollars"];
            /** @description Which tokens. */
            kind: components["schemas"]["TokenKind"];
            /**
             * Format: int64
             * @description How many.
             */
            tokens: number;
        };
        /** @description A span whose usage was counted. */
        Counted: {
            cost?: components["schemas"]["Cost"] | null;
            /** @description The model. */
            model?: string | null;
            /** @description Whether this is no model call but a roll-up with nothing below it: it stands for calls that nobody traced. */
            rollup_only?: boolean;
            /** @description The span. */
            span_id: string;
            /** @description What was counted. */
            usage: components["schemas"]["Usage"];
        };
        /** @description What a request deleted. It is durable. */
        Deletion: {
            /** @description Whether the time was up before everything was deleted: send the same again. */
            more: boolean;
            /**
             * Format: int64
             * @description Bytes of payload before compression.
             */
            payload_bytes: number;
            /** Format: int64 */
            spans: number;
            /** Format: int64 */
            traces: number;
        };
        /**
         * @description An amount of US dollars in units of 10⁻¹² dollars: one token at one dollar a million tokens costs a million
         *     of them. Shows and serializes as a decimal number of dollars in text: `"0.00052"`.
         * @example 0.00052
         */
        Dollars: string;
        /** @description A span that reports the same call as another one. */
        Duplicate: {
            /** @description The span that was. */
            counted_span_id: string;
            /** @description The span that was not counted. */
            span_id: string;
        };
        /** @description An error. */
        ErrorReport: {
            /** @description The class of the error. */
            kind?: string | null;
            /** @description What went wrong. */
            message?: string | null;
            /** @description Where it went wrong. */
            stack_trace?: string | null;
        };
        /**
         * @description How it is known whether the reported input counts the cache, surest first.
         * @enum {string}
         */
        Evidence: "cache_exceeds_input" | "total" | "convention";
        /** @description Where a trace holds a text. */
        Found: {
            /** @description The spans, by start, then id. */
            ids: string[];
            /** @description Whether looking ended early, after 2 s or 10,000 spans. */
            partial: boolean;
        };
        /** @description What came in steps of equal length since the start, at most in the last hour; the last step is still running. */
        HistoryStats: {
            /** @description Spans that write requests held, oldest step first. */
            received: number[];
            /** @description Of them, those that were refused. */
            rejected: number[];
            /** Format: int64 */
            step_seconds: number;
        };
        /** @description A refused line. */
        ImportError: {
            /**
             * Format: int64
             * @description From 1.
             */
            line: number;
            message: string;
        };
        /** @description What became of the lines of an import. A line that cannot be stored costs no other. */
        Imported: {
            /**
             * Format: int64
             * @description Assessments that could not be stored, though their spans could.
             */
            assessments_refused: number;
            /**
             * Format: int64
             * @description Assessments within lines that are stored, now or before.
             */
            assessments_stored: number;
            /** @description The first refused lines and assessments, at most 20. */
            errors: components["schemas"]["ImportError"][];
            /**
             * Format: int64
             * @description Lines that were not blank.
             */
            received: number;
            /** Format: int64 */
            rejected: number;
            /** Format: int64 */
            stored: number;
            /**
             * Format: int64
             * @description Lines of which the store has a better version already.
             */
            superseded: number;
        };
        /** @description What this server is. */
        Info: {
            /** @description Whether the server asks for API keys. */
            asks_for_keys: boolean;
            /**
             * @description Why a span is given up, by the name of the reason, for operators. A client that is newer may name others, which are
             *     counted as `other`.
             */
            drop_reasons: {
                [key: string]: string;
            };
            /** @description The store engine. */
            engine: string;
            key?: components["schemas"]["KeyInfo"] | null;
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
        /** @description What a key may do. */
        KeyInfo: {
            /** @description The account that it is bound to; null for every account. */
            account: string | null;
            id: string;
            /** @description What it is for, in its maker's words. */
            name: string;
            /** @description `ingest`, `read`, `metrics`, `admin`. */
            roles: string[];
        };
        /**
         * @description The tokens and the money of a trace.
         *
         *     Frameworks write the usage of a call again on every span around it: on the wrapper of the client, on the
         *     agent, on the turn. So usage is counted at the **leaves** only: at spans that carry usage and have no span
         *     with usage below them. What stands above is a roll-up: it is compared with what was counted below it, and never
         *     added.
         */
        Ledger: {
            /** @description What the counted spans cost, as far as the price table knows their models. */
            cost: components["schemas"]["Dollars"];
            /** @description The counted spans. */
            counted: components["schemas"]["Counted"][];
            /** @description Spans that report a call that was counted already. */
            duplicates: components["schemas"]["Duplicate"][];
            /** @description The same for each model, the dearest first. */
            models: components["schemas"]["ModelTotal"][];
            /** @description Roll-ups, compared. */
            rollups: components["schemas"]["Rollup"][];
            /** @description Counted spans whose model has no price: the cost is too low by theirs. */
            unpriced: number;
            /** @description The usage of all counted spans together. */
            usage: components["schemas"]["Usage"];
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
        /** @description One message of a conversation. */
        Message: {
            /** @description Why the model stopped after this message. */
            finish_reason?: string | null;
            /** @description The name of who speaks. */
            name?: string | null;
            /** @description What is said, in order. */
            parts: components["schemas"]["Part"][];
            /**
             * @description Who speaks: `system`, `user`, `assistant`, `tool`, or the word that was sent.
             * @example user
             */
            role: string;
        };
        /** @description What one model was used for. */
        ModelTotal: {
            /** @description How many counted spans. */
            calls: number;
            /** @description What they cost together, as far as they have a price. */
            cost: components["schemas"]["Dollars"];
            /** @description How that comes about: tokens of one kind at one price. */
            lines?: components["schemas"]["CostLine"][];
            /** @description The model as the spans name it; `None` for those that name none. */
            model?: string | null;
            /** @description How many of them have no price. */
            unpriced?: number;
            /** @description Their usage together. */
            usage: components["schemas"]["Usage"];
        };
        /** @description What a span says, in one form. Fields that it says nothing about are empty and not serialized. */
        Normal: {
            agent?: components["schemas"]["Agent"] | null;
            /** @description The conventions that the span was found to speak, in the order of their names. */
            conventions?: components["schemas"]["Convention"][];
            /** @description The conversation or session. */
            conversation?: string | null;
            /** @description What a search found. */
            documents?: unknown[];
            error?: components["schemas"]["ErrorReport"] | null;
            /** @description Why the model stopped: `stop`, `length`, `content_filter`, `tool_call`, `error`, or the provider's word. */
            finish_reasons?: string[];
            /** @description What the work was given, when that is not messages. */
            input?: unknown;
            /** @description What went to the model. */
            input_messages?: components["schemas"]["Message"][];
            /**
             * @description What the span does.
             * @example chat
             */
            operation?: string | null;
            /** @description What the work produced, when that is not messages. */
            output?: unknown;
            /** @description What came from the model. */
            output_messages?: components["schemas"]["Message"][];
            /** @description The knobs of the request: `temperature`, `max_tokens`, … */
            parameters?: Record<string, never>;
            /** @description The provider of the model by its OpenTelemetry name, for example `openai`, `aws.bedrock`. */
            provider?: string | null;
            /** @description What a search asked for. */
            query?: string | null;
            reported_cost?: components["schemas"]["ReportedCost"] | null;
            /** @description The model that was asked for. */
            request_model?: string | null;
            /** @description The provider's id of the answer. */
            response_id?: string | null;
            /** @description The model that answered. */
            response_model?: string | null;
            /** @description Instructions that stand outside the messages. */
            system_instructions?: components["schemas"]["Part"][];
            /**
             * Format: double
             * @description Seconds from the request to the first chunk of a streamed answer.
             */
            time_to_first_chunk_seconds?: number | null;
            tool?: components["schemas"]["Tool"] | null;
            /** @description The tools that the model could call, as the provider was told of them. */
            tool_definitions?: unknown[];
            usage?: components["schemas"]["Usage"] | null;
            /** @description The user. */
            user?: string | null;
            /** @description The workflow. */
            workflow?: string | null;
        };
        /** @description What a span means. */
        NormalSpan: {
            account: string;
            /**
             * Format: int32
             * @description The version of the convention table that was applied.
             */
            convention_version: number;
            cost: components["schemas"]["Cost"] | null;
            id: string;
            normal: components["schemas"]["Normal"];
            prices: components["schemas"]["Prices"];
            trace_id: string;
        };
        /** @description One part of a message. Serializes in the form of the OpenTelemetry GenAI message schema (v1.41.1). */
        Part: {
            /** @description The text. */
            content: string;
            /** @enum {string} */
            type: "text";
        } | {
            /** @description The text, as far as the provider shows it; empty where it is withheld. */
            content: string;
            /** @enum {string} */
            type: "reasoning";
        } | {
            /** @description What the tool is to be given. */
            arguments?: unknown;
            /** @description The id that the result refers to. */
            id?: string | null;
            /** @description The tool. */
            name: string;
            /** @enum {string} */
            type: "tool_call";
        } | {
            /** @description The id of the call. */
            id?: string | null;
            /** @description Whether the run failed; only where that is said. */
            is_error?: boolean;
            /** @description The tool. */
            name?: string | null;
            /** @description What it returned. */
            response: unknown;
            /** @enum {string} */
            type: "tool_call_response";
        } | {
            /** @description The media type, for example `image/png`. */
            mime_type?: string | null;
            /** @description `image`, `audio`, `video` or `document`. */
            modality: string;
            /** @enum {string} */
            type: "uri";
            /** @description Where it is. */
            uri: string;
        } | {
            /** @description The content in base64. */
            content: string;
            /** @description The media type, for example `image/png`. */
            mime_type?: string | null;
            /** @description `image`, `audio`, `video` or `document`. */
            modality: string;
            /** @enum {string} */
            type: "blob";
        } | {
            /** @description The provider's id of it. */
            file_id: string;
            /** @description The media type, for example `image/png`. */
            mime_type?: string | null;
            /** @description `image`, `audio`, `video` or `document`. */
            modality: string;
            /** @enum {string} */
            type: "file";
        } | {
            /** @enum {string} */
            type: "other";
        };
        /** @description The price table that was applied. */
        Prices: {
            /** @description The day for which the prices were collected, `YYYY-MM-DD`. */
            date: string;
            /** @description Where they come from. */
            source: string;
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
            /** @description What is said of it, by creation. Only of one span, not in lists. */
            assessments?: components["schemas"]["SpanAssessment"][] | null;
            /**
             * Format: int64
             * @description Of the tokens read, those that came from a cache.
             */
            cached_tokens?: number | null;
            /**
             * Format: int64
             * @description What the producer says that the span cost, in units of 10⁻¹² US dollars.
             */
            cost_picodollars?: number | null;
            /** @description Null while the span runs. */
            end_time: string | null;
            /** @description What a failed span says: kind and beginning of the message. */
            error?: string | null;
            expected?: Record<string, never> | null;
            group_id: string | null;
            id: string;
            /** @description Only with `payloads=true`, as the four below. */
            input?: Record<string, never> | null;
            /**
             * Format: int64
             * @description Tokens read by the model.
             */
            input_tokens?: number | null;
            metadata?: Record<string, never> | null;
            /**
             * @description The model that was called. Read from the payloads, as the five below; they are left out where payloads were not
             *     read (a whole trace without `payloads=true`).
             */
            model?: string | null;
            name: string;
            obs_span_id: string | null;
            obs_trace_id: string | null;
            otel?: Record<string, never> | null;
            output?: Record<string, never> | null;
            /**
             * Format: int64
             * @description Tokens written by the model.
             */
            output_tokens?: number | null;
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
            /**
             * Format: int64
             * @description What producers say that it cost, likewise, in units of 10⁻¹² US dollars.
             */
            cost_picodollars: number | null;
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
        /** @description Costs that a span states, in US dollars. Kept beside what the price table says, never mixed with it. */
        ReportedCost: {
            /**
             * Format: double
             * @description Of the input.
             */
            input?: number | null;
            /**
             * Format: double
             * @description Of the output.
             */
            output?: number | null;
            /**
             * Format: double
             * @description Of both.
             */
            total?: number | null;
        };
        /** @description How long spans are kept, and what has gone since the start. */
        RetentionStats: {
            /**
             * Format: int64
             * @description Spans deleted since the start, of all accounts; 0 for a key that is bound to an account.
             */
            deleted_by_age: number;
            /** Format: int64 */
            deleted_by_request: number;
            /** Format: int64 */
            deleted_by_size: number;
            /** @description Whether that ended early because the store failed. */
            failed: boolean;
            /** @description When every account was last looked at. */
            last_run: string | null;
            /**
             * Format: int64
             * @description Spans go that are older, in the caller's account; null for never.
             */
            max_age_seconds: number | null;
            /**
             * Format: int64
             * @description The oldest spans go while an account has more bytes; null for never.
             */
            max_bytes: number | null;
            /** @description Whether spans are being deleted now. */
            running: boolean;
        };
        /** @description A roll-up and what was counted below it. */
        Rollup: {
            /** @description Whether the two agree. If the span reports more, some calls below it were not traced. */
            agrees: boolean;
            /** @description What was counted below it. */
            counted: components["schemas"]["Usage"];
            /** @description What the span reports. */
            reported: components["schemas"]["Usage"];
            /** @description The span. */
            span_id: string;
        };
        /** @description What somebody said of a span. */
        SpanAssessment: {
            account_id: string;
            /** @description `approved` or `rejected`. */
            approval: string | null;
            assessment_id: string;
            /** @description `comment`, `rating`, `approval`, `rubric`, `metadata` or `overwrite`. */
            assessment_type: string;
            comment: string | null;
            created_at: string;
            /** @description The id of the key that made it; `anonymous` while the server had no keys. */
            created_by: string;
            metadata: Record<string, never> | null;
            /** @description Always `span.assessment`. */
            object: string;
            overwrite: Record<string, never> | null;
            /**
             * Format: int32
             * @description 1 to 5.
             */
            rating: number | null;
            rubric: Record<string, never> | null;
            span_id: string;
            trace_id: string;
            updated_at: string;
        };
        /**
         * @description Figures about the store and what the server took in since it started. With a key that is bound to an account:
         *     that account's spans, traces and payload before compression; 0 and empty for what belongs to all accounts.
         */
        Stats: {
            /** @description Who sent spans since the start, the last seen first, at most 100. */
            clients: components["schemas"]["ClientStats"][];
            /**
             * Format: int64
             * @description Bytes on disk, logs included.
             */
            disk_bytes: number;
            /** @description The store engine, for example `embedded`. */
            engine: string;
            /** @description What came in the last hour. */
            history: components["schemas"]["HistoryStats"];
            /** @description Spans taken in since the start, by protocol. */
            ingest: components["schemas"]["IngestStats"][];
            /**
             * Format: int64
             * @description Bytes of payload before compression.
             */
            raw_payload_bytes: number;
            retention: components["schemas"]["RetentionStats"];
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
            /** @description Of the tokens read, those that came from a cache. */
            cached_tokens?: (number | null)[] | null;
            /** @description What the producer says that the span cost, in units of 10⁻¹² US dollars. */
            cost_picodollars?: (number | null)[] | null;
            /** @description Microseconds from start to end, negative when the end comes first; null while the span runs. */
            duration: (number | null)[];
            /** @description Entry of `errors`; -1 for none. */
            error?: number[] | null;
            id: string[];
            /** @description Tokens read by the model; null where none were reported. Absent when no span reported any, as the next. */
            input_tokens?: (number | null)[] | null;
            /** @description Entry of `models`; -1 for none. Absent when no span names one, as the next. */
            model?: number[] | null;
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
        /**
         * @description Which tokens a line of a calculation counts.
         * @enum {string}
         */
        TokenKind: "input" | "cache_read" | "cache_write" | "output";
        /** @description A run of a tool. */
        Tool: {
            /** @description What the tool was given. */
            arguments?: unknown;
            /** @description The id under which the model asked for the run. */
            call_id?: string | null;
            /** @description What the tool does. */
            description?: string | null;
            /** @description `function`, `extension` or `datastore`. */
            kind?: string | null;
            /** @description The tool. */
            name?: string | null;
            /** @description What the tool returned. */
            result?: unknown;
        };
        /** @description A whole trace. */
        Trace: {
            /** @description What is said of them, by creation. */
            assessments: components["schemas"]["SpanAssessment"][];
            /** @description Whether there are more than fit: then ask for those of a span. */
            assessments_cut: boolean;
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
            /** @description What failed spans say, that `error` points into: kind and beginning of the message. */
            errors?: string[] | null;
            /** @description Ids of parents that are not among the spans. */
            missing_parents: string[];
            /** @description The models that `model` points into; absent with that column, as the next. */
            models?: string[] | null;
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
        /** @description What a trace used and cost. */
        TraceUsage: components["schemas"]["Ledger"] & {
            /** @description The account that the spans belong to. */
            account: string;
            /**
             * Format: int32
             * @description The version of the convention table that was applied.
             */
            convention_version: number;
            /**
             * @description Other accounts that hold spans of a trace with this id; without an account header the one with the
             *     earliest span is shown.
             */
            other_accounts: string[];
            prices: components["schemas"]["Prices"];
            trace_id: string;
        };
        /** @description A page of traces. */
        TracesPage: {
            /** @description Give it as `after` to get the next page; null at the end. */
            next: string | null;
            /** @description Whether the page ended because looking for text took long; `next` goes on from there. */
            partial: boolean;
            traces: components["schemas"]["ReadTrace"][];
        };
        /**
         * @description Tokens of a model call, counted one way whatever way they were reported.
         *
         *     `input_tokens` counts **all** input, also what was read from or written to a cache; `output_tokens` counts all
         *     output, also reasoning.
         */
        Usage: {
            cache?: components["schemas"]["CacheAccounting"] | null;
            /**
             * Format: int64
             * @description Of the input: read from a cache.
             */
            cache_read_tokens?: number | null;
            /**
             * Format: int64
             * @description Of the input: written to a cache.
             */
            cache_write_tokens?: number | null;
            /**
             * Format: int64
             * @description All input tokens.
             */
            input_tokens?: number | null;
            /**
             * Format: int64
             * @description All output tokens.
             */
            output_tokens?: number | null;
            /**
             * Format: int64
             * @description Of the output: reasoning.
             */
            reasoning_tokens?: number | null;
            /**
             * Format: int64
             * @description The total as reported; see [`Usage::total`].
             */
            reported_total_tokens?: number | null;
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
    list_accounts: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The accounts */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Accounts"];
                };
            };
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
    export_spans: {
        parameters: {
            query?: {
                /** @description Only spans of this trace. */
                trace_id?: string;
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
            /** @description The spans */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/x-ndjson": string;
                };
            };
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
    import_spans: {
        parameters: {
            query?: never;
            header?: {
                /** @description The account that owns the spans; without it `default` (on `/api`: all accounts). */
                "x-selected-account-id"?: string | null;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-ndjson": string;
            };
        };
        responses: {
            /** @description What became of the lines */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Imported"];
                };
            };
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The body is too large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description Another content type, or too many lines */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReadError"];
                };
            };
            /** @description Busy, or the store is not available; see Retry-After */
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
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
    get_span_normal: {
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
            /** @description The normal form */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["NormalSpan"];
                };
            };
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
                /**
                 * @description Only traces with a span that holds all of these terms, in its name, input, output or metadata; as `search_texts`
                 *     of the search of spans. Repeated for several terms, up to 10 of at least 2 characters.
                 */
                text?: string[];
                /**
                 * @description Only traces with an assessment of some span that says this: a type, `approval:rejected`, `rating:3`, `rating:<3`.
                 *     Repeated for several, up to 10.
                 */
                assessment?: string[];
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
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
    delete_traces: {
        parameters: {
            query: {
                /** @description Only traces whose spans all started before this moment: ISO 8601, or Unix seconds. Required. */
                start_before: string;
                /** @description Only traces whose spans all started at this moment or later. */
                start_after?: string;
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
            /** @description What was deleted */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Deletion"];
                };
            };
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description A parameter is missing or malformed */
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
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
    delete_trace: {
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
            /** @description What was deleted */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Deletion"];
                };
            };
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
            /** @description The id is malformed */
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
    search_trace: {
        parameters: {
            query: {
                /**
                 * @description What to look for in name, input, output and metadata, as `search_texts` of the search of spans. Repeated for several
                 *     terms, up to 10 of at least 2 characters; a span holds all of them.
                 */
                text: string[];
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
            /** @description The spans */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Found"];
                };
            };
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
    get_trace_usage: {
        parameters: {
            query?: {
                /** @description Whether costs come with their lines: tokens times price. */
                arithmetic?: boolean;
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
            /** @description The ledger */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TraceUsage"];
                };
            };
            /** @description There are keys, and the request has none, or one that is unknown or has expired */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The key lacks the role, or is bound to another account */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
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
