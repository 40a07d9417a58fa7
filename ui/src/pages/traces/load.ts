import { useSignal } from "@preact/signals";
import { useCallback, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { listTraces, type TracePage } from "../../api/client";
import { takeEarly } from "../../api/early";
import { account } from "../../api/session";
import { follow, type Liveness } from "../../api/tail";
import { announce } from "../../components/announce";
import type { TraceSummary } from "../../model/span";
import { filterOf, PAGE } from "./filter";

/** A change on the server shows within this time, however many there are. */
const REFRESH_MS = 250;

export function keyOf(trace: TraceSummary): string {
  return `${trace.account}\n${trace.traceId}`;
}

/** The list of the page: its traces, what is on its way, and how it is kept fresh. */
export function useTraces(search: string) {
  const [traces, setTraces] = useState<TraceSummary[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [state, setState] = useState<"loading" | "ready" | "failed">("loading");
  const [error, setError] = useState("");
  const live = useSignal<Liveness>("connecting");
  const [fresh, setFresh] = useState<ReadonlySet<string>>(new Set());
  const current = useRef<TraceSummary[]>([]);
  current.current = traces;
  const filter = useMemo(() => filterOf(new URLSearchParams(search)), [search]);

  // Before the first picture, not after it: the answer may already be here.
  useLayoutEffect(() => {
    const abort = new AbortController();
    setState("loading");
    const first = takeEarly<TracePage>(`?${search}`) ?? listTraces(filter, null, PAGE, abort.signal);
    first
      .then((page) => {
        if (abort.signal.aborted) return;
        setTraces(page.traces);
        setNext(page.next);
        setFresh(new Set());
        setState("ready");
        announce(page.traces.length === 0 ? "No traces" : `${page.traces.length} traces loaded`);
      })
      .catch((failure: Error) => {
        if (abort.signal.aborted) return;
        setError(failure.message);
        setState("failed");
      });

    // Live: any write may change a summary, so the first page is read again, at a bounded rate.
    let timer: ReturnType<typeof setTimeout> | undefined;
    let busy = false;
    let again = false;
    const refresh = async () => {
      timer = undefined;
      if (busy) {
        again = true;
        return;
      }
      busy = true;
      try {
        const page = await listTraces(filterOf(new URLSearchParams(search)), null, PAGE, abort.signal);
        const known = new Set(current.current.map(keyOf));
        const arrived = page.traces.map(keyOf);
        setFresh(new Set(arrived.filter((key) => !known.has(key))));
        const onPage = new Set(arrived);
        setTraces((old) => {
          if (page.next === null) return page.traces;
          const last = page.traces[page.traces.length - 1]!;
          return [
            ...page.traces,
            ...old.filter((trace) => !onPage.has(keyOf(trace)) && trace.start <= last.start),
          ];
        });
        if (current.current.length <= PAGE) setNext(page.next);
      } catch {
        // The stream's state says that the server is away.
      }
      busy = false;
      if (again) {
        again = false;
        schedule();
      }
    };
    const schedule = () => {
      timer ??= setTimeout(refresh, REFRESH_MS);
    };
    const tail = follow({ onEvent: schedule });
    const unsubscribe = tail.state.subscribe((value) => {
      live.value = value;
      if (value === "live" && current.current.length > 0) schedule();
    });
    return () => {
      abort.abort();
      clearTimeout(timer);
      unsubscribe();
      tail.stop();
    };
  }, [search, filter, account.value]);

  const loading = useRef(false);
  const more = useCallback(() => {
    if (next === null || loading.current) return;
    loading.current = true;
    listTraces(filter, next, PAGE)
      .then((page) => {
        setTraces((old) => {
          const known = new Set(old.map(keyOf));
          return [...old, ...page.traces.filter((trace) => !known.has(keyOf(trace)))];
        });
        setNext(page.next);
      })
      .catch((failure: Error) => setError(failure.message))
      .finally(() => {
        loading.current = false;
      });
  }, [next, filter]);

  return { traces, next, state, error, live, fresh, more };
}
