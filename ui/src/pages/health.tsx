import { useEffect, useRef, useState } from "preact/hooks";
import { readStats } from "../api/client";
import { info } from "../api/identity";
import type { StatsAnswer } from "../api/wire";
import { useTitle } from "../app";
import { Moment } from "../components/moment";
import { Plot } from "../components/plot";
import { formatBytes, formatCount, formatDuration, formatShare, formatShort, plural } from "../model/format";
import { parseMoment } from "../model/time";

const POLL_MS = 2000;
const SHOWN_SECONDS = 600;

/** When a span is given up for a reason, in the server's words. */
function meaningOf(reason: string): string | undefined {
  if (reason === "other") return "For reasons that this server does not know: the client is newer.";
  return info.value?.drop_reasons[reason]?.replaceAll("`", "");
}

interface Sample {
  at: number;
  stats: StatsAnswer;
}

function totals(stats: StatsAnswer) {
  const sum = { received: 0, stored: 0, superseded: 0, unacknowledged: 0, rejected: 0 };
  const reasons = new Map<string, number>();
  for (const protocol of stats.ingest) {
    sum.received += protocol.received;
    sum.stored += protocol.stored;
    sum.superseded += protocol.superseded;
    sum.unacknowledged += protocol.unacknowledged;
    for (const [reason, count] of Object.entries(protocol.rejected)) {
      sum.rejected += count;
      reasons.set(reason, (reasons.get(reason) ?? 0) + count);
    }
  }
  return { ...sum, reasons };
}

/** Spans a second, step by step. The last step is still running and says too little. */
function rates(latest: Sample, counts: readonly number[]): { at: number; value: number }[] {
  const { step_seconds: step } = latest.stats.history;
  const whole = counts.length > 1 ? counts.slice(0, -1) : counts;
  return whole.map((count, i) => ({
    at: latest.at - (whole.length - i) * step * 1000,
    value: count / step,
  }));
}

export default function Health(_props: object) {
  useTitle("Health");
  const samples = useRef<Sample[]>([]);
  const [latest, setLatest] = useState<Sample | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const poll = async () => {
      try {
        const stats = await readStats(abort.signal);
        const sample = { at: Date.now(), stats };
        const last = samples.current[samples.current.length - 1];
        // A server that restarted counts from zero: the past says nothing about it.
        if (last && stats.uptime_seconds < last.stats.uptime_seconds) samples.current = [];
        samples.current = [...samples.current, sample].slice((-SHOWN_SECONDS * 1000) / POLL_MS - 2);
        setLatest(sample);
        setError(null);
      } catch (failure) {
        if (abort.signal.aborted) return;
        setError(failure instanceof Error ? failure.message : String(failure));
      }
      timer = setTimeout(poll, POLL_MS);
    };
    void poll();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, []);
  if (!latest) {
    return error === null ? (
      <div class="trace-loading" role="status" aria-label="Reading figures" />
    ) : (
      <div class="empty" role="alert">
        <h1>The figures could not be read</h1>
        <p class="soft">{error}</p>
      </div>
    );
  }
  const { stats } = latest;
  const about = info.value;
  // A key of one account gets that account's figures, which are not the server's.
  if (about?.key?.account) return <OwnFigures account={about.key.account} stats={stats} />;
  const sum = totals(stats);
  const came = rates(latest, stats.history.received);
  const refused = rates(latest, stats.history.rejected);
  const sizes = samples.current.map((sample) => ({ at: sample.at, value: sample.stats.disk_bytes }));
  const shownSeconds = Math.min(SHOWN_SECONDS, Math.max(60, (latest.at - samples.current[0]!.at) / 1000));
  const rate = came[came.length - 1]?.value ?? 0;
  const accounted = sum.stored + sum.superseded + sum.rejected + sum.unacknowledged;
  const never = stats.clients.reduce((all, client) => all + givenUp(client), 0);
  return (
    <div class="health">
      <header>
        <h1>Health</h1>
        <span class={`badge ${error === null ? "ok" : "error"}`}>
          {error === null ? "answering" : "not answering"}
        </span>
        <span class="muted">
          endspan {about?.version ?? ""} · up {formatDuration(stats.uptime_seconds * 1e6)} · {stats.engine}{" "}
          store, schema {stats.schema_version}
        </span>
      </header>
      <section class="card wide" aria-labelledby="health-rate">
        <h2 id="health-rate">Spans received</h2>
        <p class="big">
          {rate < 10 ? rate.toFixed(1).replace(/\.0$/, "") : formatShort(rate)} <small>per second</small>
        </p>
        <Plot
          label="Spans received per second"
          points={came}
          second={{ label: "rejected", points: refused }}
          format={(value) => `${value < 10 ? value.toFixed(1).replace(/\.0$/, "") : formatShort(value)}/s`}
          seconds={Math.max(60, came.length * stats.history.step_seconds)}
        />
      </section>
      <section class="card" aria-labelledby="health-outcomes">
        <h2 id="health-outcomes">What became of them, since the start</h2>
        <dl class="rows">
          <Line name="Received" value={sum.received} of={sum.received} />
          <Line name="Stored" value={sum.stored} of={sum.received} tone="ok" />
          <Line
            name="Superseded"
            value={sum.superseded}
            of={sum.received}
            title="A newer version of the span was stored already"
          />
          <Line name="Rejected" value={sum.rejected} of={sum.received} tone="error" />
          <Line
            name="Unacknowledged"
            value={sum.unacknowledged}
            of={sum.received}
            title="The client left before the answer"
          />
        </dl>
        <p class={accounted === sum.received ? "muted" : "error-text"}>
          {accounted === sum.received
            ? "Every span is accounted for."
            : `${formatCount(Math.abs(sum.received - accounted))} in flight at the moment of reading.`}
        </p>
        {never > 0 && (
          <p class="error-text">
            Clients say that they gave up {plural(never, "more span")} that never came here: see{" "}
            <a href="#health-clients">Clients seen</a>.
          </p>
        )}
      </section>
      <section class="card" aria-labelledby="health-rejected">
        <h2 id="health-rejected">Rejected, by reason</h2>
        {sum.reasons.size === 0 ? (
          <p class="muted">None since the start.</p>
        ) : (
          <dl class="rows">
            {[...sum.reasons]
              .sort((x, y) => y[1] - x[1])
              .map(([reason, count]) => (
                <Line
                  key={reason}
                  name={reason}
                  value={count}
                  of={sum.rejected}
                  tone="error"
                  title={meaningOf(reason)}
                />
              ))}
          </dl>
        )}
        <h2>By protocol</h2>
        <table>
          <thead>
            <tr>
              <th scope="col">Protocol</th>
              <th scope="col">Received</th>
              <th scope="col">Stored</th>
              <th scope="col">Rejected</th>
            </tr>
          </thead>
          <tbody>
            {stats.ingest.map((protocol) => (
              <tr key={protocol.protocol}>
                <th scope="row">{protocol.protocol}</th>
                <td>{formatCount(protocol.received)}</td>
                <td>{formatCount(protocol.stored)}</td>
                <td>{formatCount(Object.values(protocol.rejected).reduce((x, y) => x + y, 0))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <section class="card" aria-labelledby="health-store">
        <h2 id="health-store">Store</h2>
        <p class="big">
          {formatBytes(stats.disk_bytes)} <small>on disk</small>
        </p>
        <Plot label="Bytes on disk" points={sizes} format={formatBytes} seconds={shownSeconds} />
        <dl class="rows">
          <Fact name="Spans">{formatCount(stats.spans)}</Fact>
          <Fact name="Traces">{formatCount(stats.traces)}</Fact>
          <Fact name="Payload as sent">{formatBytes(stats.raw_payload_bytes)}</Fact>
          <Fact name="Payload as stored">
            {formatBytes(stats.stored_payload_bytes)}
            {stats.raw_payload_bytes > 0 && (
              <span class="muted">
                {" "}
                · {formatShare(stats.stored_payload_bytes / stats.raw_payload_bytes)}
              </span>
            )}
          </Fact>
          <Fact name="Waiting for compaction">{formatBytes(stats.superseded_payload_bytes)}</Fact>
        </dl>
      </section>
      <section class="card" aria-labelledby="health-retention">
        <h2 id="health-retention">Retention</h2>
        <Retention retention={stats.retention} />
        <h2>Limits</h2>
        <Limits limits={about?.limits ?? {}} />
      </section>
      <section class="card wide" aria-labelledby="health-clients">
        <h2 id="health-clients">Clients seen</h2>
        <Clients stats={stats} />
      </section>
    </div>
  );
}

/** What a key that is bound to an account may know. */
function OwnFigures(props: { account: string; stats: StatsAnswer }) {
  const { account, stats } = props;
  return (
    <div class="health">
      <header>
        <h1>Health</h1>
        <span class="badge ok">answering</span>
        <span class="muted">
          Your key is bound to the account {account}: these are its figures. Those of the server need a key
          for all accounts.
        </span>
      </header>
      <section class="card" aria-labelledby="health-account">
        <h2 id="health-account">Account {account}</h2>
        <dl class="rows">
          <Fact name="Spans">{formatCount(stats.spans)}</Fact>
          <Fact name="Traces">{formatCount(stats.traces)}</Fact>
          <Fact name="Payload as sent">{formatBytes(stats.raw_payload_bytes)}</Fact>
        </dl>
      </section>
      <section class="card" aria-labelledby="health-retention">
        <h2 id="health-retention">Retention</h2>
        <Retention retention={stats.retention} />
      </section>
    </div>
  );
}

function Retention(props: { retention: StatsAnswer["retention"] }) {
  const { retention } = props;
  const deleted = retention.deleted_by_age + retention.deleted_by_size;
  return (
    <>
      {retention.max_age_seconds === null && retention.max_bytes === null ? (
        <p class="muted">Nothing is deleted by age or size.</p>
      ) : (
        <dl class="rows">
          <Fact name="Kept for">
            {retention.max_age_seconds === null ? "ever" : formatDuration(retention.max_age_seconds * 1e6)}
          </Fact>
          <Fact name="Most of an account">
            {retention.max_bytes === null ? "no limit" : formatBytes(retention.max_bytes)}
          </Fact>
          <Fact name="Last looked at">
            {retention.running ? (
              "deleting now"
            ) : retention.last_run ? (
              <Moment at={parseMoment(retention.last_run)} relative />
            ) : (
              "not yet"
            )}
          </Fact>
        </dl>
      )}
      {retention.failed && (
        <p class="notice warn">The last look at it ended early, as the store failed. It will try again.</p>
      )}
      {(deleted > 0 || retention.deleted_by_request > 0) && (
        <dl class="rows">
          <Fact name="Deleted by age">{formatCount(retention.deleted_by_age)}</Fact>
          <Fact name="Deleted by size">{formatCount(retention.deleted_by_size)}</Fact>
          <Fact name="Deleted on request">{formatCount(retention.deleted_by_request)}</Fact>
        </dl>
      )}
    </>
  );
}

function Line(props: { name: string; value: number; of: number; tone?: string; title?: string }) {
  const share = props.of > 0 ? props.value / props.of : 0;
  return (
    <div title={props.title}>
      <dt>
        {props.name}
        {props.title && <span class="sr">, {props.title}</span>}
      </dt>
      <dd>
        {formatCount(props.value)}
        <i
          class={`share ${props.value > 0 ? (props.tone ?? "") : ""}`}
          style={{ width: `${share * 100}%` }}
        />
      </dd>
    </div>
  );
}

function Fact(props: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

function Limits(props: { limits: Record<string, number> }) {
  return (
    <dl class="rows">
      {Object.entries(props.limits).map(([name, value]) => (
        <Fact
          key={name}
          name={name
            .replace(/^max_/, "")
            .replace(/_/g, " ")
            .replace(/ bytes$/, "")}
        >
          {name.endsWith("_bytes") ? formatBytes(value) : formatCount(value)}
        </Fact>
      ))}
    </dl>
  );
}

/** Spans that a client says it gave up by itself. */
function givenUp(client: StatsAnswer["clients"][number]): number {
  return Object.values(client.dropped).reduce((sum, count) => sum + count, 0);
}

/** Who sends spans, and what they say of spans that never came. */
function Clients(props: { stats: StatsAnswer }) {
  const { clients } = props.stats;
  if (clients.length === 0) return <p class="muted">None has sent a span since the start.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">User agent</th>
          <th scope="col">Last seen</th>
          <th scope="col">Requests</th>
          <th scope="col">Spans</th>
          <th scope="col">Rejected here</th>
          <th scope="col">Given up there</th>
        </tr>
      </thead>
      <tbody>
        {clients.map((client) => [
          <tr key={client.user_agent}>
            <th scope="row" class="value">
              {client.user_agent || <span class="muted">(no name)</span>}
            </th>
            <td>
              <Moment at={parseMoment(client.last_seen)} relative />
            </td>
            <td>{formatCount(client.requests)}</td>
            <td>{formatCount(client.spans)}</td>
            <td>
              {client.rejected === 0 ? (
                <span class="muted">none</span>
              ) : (
                <span class="badge error">{formatCount(client.rejected)}</span>
              )}
            </td>
            <td>
              {givenUp(client) === 0 ? (
                <span class="muted">none</span>
              ) : (
                <span class="badge error">{formatCount(givenUp(client))}</span>
              )}
            </td>
          </tr>,
          givenUp(client) > 0 && (
            <tr key={`${client.user_agent} drops`} class="drops">
              <td colSpan={6}>
                {plural(client.dropped_instances, "process", "processes")} of this client gave up{" "}
                {plural(givenUp(client), "span")} before they reached this server, since{" "}
                {client.dropped_instances === 1 ? "it" : "they"} started:
                <ul>
                  {Object.entries(client.dropped)
                    .sort((x, y) => y[1] - x[1])
                    .map(([reason, count]) => (
                      <li key={reason}>
                        <b>{formatCount(count)}</b> <code>{reason}</code>
                        {meaningOf(reason) && <span class="soft"> {meaningOf(reason)}</span>}
                      </li>
                    ))}
                </ul>
              </td>
            </tr>
          ),
        ])}
      </tbody>
    </table>
  );
}
