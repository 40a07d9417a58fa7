import type { ReadonlySignal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Liveness } from "../../api/tail";
import { Icon } from "../../components/icon";
import { useKeys } from "../../components/keys";
import { LiveState } from "../../components/live-state";
import type { TraceSummary } from "../../model/span";
import { navigate, place, setQuery } from "../../router";
import { PERIODS } from "./filter";

export function Filters(props: { live: ReadonlySignal<Liveness>; traces: TraceSummary[] }) {
  const search = place.value.search;
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(search.get("q") ?? "");
  const extra = ["name", "agent", "min_ms", "min_tokens", "assessment"].some((name) => search.has(name));
  const [open, setOpen] = useState(extra);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const fromUrl = search.get("q") ?? "";
  useEffect(() => setText(fromUrl), [fromUrl]);
  useKeys({
    "/": () => input.current?.focus(),
    Escape: () => {
      if (document.activeElement === input.current) input.current?.blur();
      else if (search.toString() !== "") navigate("/");
    },
  });
  const type = (value: string) => {
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery({ q: value }), 200);
  };
  const agents = useMemo(
    () =>
      [
        ...new Set(
          props.traces.map((trace) => trace.agent).filter((agent): agent is string => agent !== null),
        ),
      ].sort(),
    [props.traces],
  );
  const status = search.get("status") ?? "";
  return (
    <div class="filters" role="search">
      <h1>Traces</h1>
      <div class="search">
        <Icon name="search" />
        <input
          ref={input}
          class="field"
          type="search"
          placeholder="Search names and payloads"
          aria-label="Search names and payloads"
          title={'Words, and phrases in quotes: refund "broken pole"'}
          value={text}
          onInput={(event) => type(event.currentTarget.value)}
        />
        <kbd aria-hidden="true">/</kbd>
      </div>
      <fieldset class="segments" aria-label="Status">
        {[
          ["", "All"],
          ["running", "Running"],
          ["error", "Errors"],
          ["ok", "OK"],
        ].map(([value, label]) => (
          <button
            key={value}
            type="button"
            aria-pressed={status === value}
            onClick={() => setQuery({ status: value! }, "push")}
          >
            {label}
          </button>
        ))}
      </fieldset>
      <select
        class="select"
        aria-label="Started"
        value={search.get("period") ?? ""}
        onChange={(event) => setQuery({ period: event.currentTarget.value }, "push")}
      >
        <option value="">Any time</option>
        {PERIODS.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
      <button
        type="button"
        class="button"
        aria-label="More filters"
        aria-expanded={open}
        aria-controls="more-filters"
        onClick={() => setOpen(!open)}
      >
        <Icon name="filter" />
        <span class="wide">More</span>
      </button>
      <span class="grow" />
      <LiveState live={props.live} />
      {open && (
        <div class="filter-more" id="more-filters">
          <TextFilter name="name" label="Name" placeholder="part of the name" />
          <TextFilter name="agent" label="Agent" placeholder="exact" options={agents} />
          <TextFilter name="min_ms" label="Longer than" placeholder="ms" numeric />
          <TextFilter name="min_tokens" label="More tokens than" placeholder="tokens" numeric />
          <TextFilter name="assessment" label="Assessed" placeholder="rating:<3" options={ASSESSED} />
        </div>
      )}
    </div>
  );
}

/** What a span may have been said to be; ratings compare with any number from 1 to 5. */
const ASSESSED = [
  "approval:approved",
  "approval:rejected",
  "rating:>=4",
  "rating:<3",
  "comment",
  "rubric",
  "overwrite",
  "metadata",
];

function TextFilter(props: {
  name: string;
  label: string;
  placeholder: string;
  numeric?: boolean;
  options?: string[];
}) {
  const value = place.value.search.get(props.name) ?? "";
  return (
    <label>
      {props.label}
      <input
        class="field"
        value={value}
        placeholder={props.placeholder}
        inputMode={props.numeric ? "numeric" : undefined}
        list={props.options ? `${props.name}-options` : undefined}
        onChange={(event) => {
          const text = event.currentTarget.value.trim();
          setQuery({ [props.name]: props.numeric && !(Number(text) > 0) ? "" : text }, "push");
        }}
      />
      {props.options && (
        <datalist id={`${props.name}-options`}>
          {props.options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      )}
    </label>
  );
}
