import { useTitle } from "../../app";
import { place } from "../../router";
import { FILTERS } from "./filter";
import { Filters } from "./filters";
import { FirstSteps } from "./first-steps";
import { useTraces } from "./load";
import { Table } from "./table";

export function Traces() {
  useTitle("Traces");
  const search = place.value.search;
  const { traces, next, state, error, live, fresh, more } = useTraces(search.toString());
  const filtered = FILTERS.some((name) => search.has(name));
  // A page that looking for text cut short may be empty and yet not the last.
  const empty = state === "ready" && traces.length === 0 && next === null;
  return (
    <div class="traces">
      <Filters live={live} traces={traces} />
      {state === "failed" ? (
        <div class="empty" role="alert">
          <h1>The traces could not be read</h1>
          <p class="soft">{error}</p>
        </div>
      ) : empty && !filtered ? (
        <FirstSteps />
      ) : empty ? (
        <div class="empty">
          <h1>No trace matches</h1>
          <p class="soft">Take a filter away, or search for less.</p>
          <p>
            <a class="button" href="/">
              Clear the filters
            </a>
          </p>
        </div>
      ) : (
        <Table traces={traces} next={next} fresh={fresh} more={more} loading={state === "loading"} />
      )}
    </div>
  );
}
