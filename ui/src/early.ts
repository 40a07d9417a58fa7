/** Imported first: asks for the page's data and code before the rest of this bundle is run. */
import { listTraces, readStructure } from "./api/client";
import { askEarly } from "./api/early";
import { filterOf, isTracesPath, PAGE } from "./pages/traces/filter";
import { place, traceIdOf } from "./router";

const { path, search } = place.value;
const traceId = traceIdOf(place.value);
if (traceId !== null) {
  const account = search.get("account");
  askEarly(`${account ?? ""}\n${traceId}`, readStructure(traceId, account));
  void import("./pages/trace");
  if (search.has("span")) void import("./pages/span");
} else if (isTracesPath(path)) {
  askEarly(`?${search.toString()}`, listTraces(filterOf(search), null, PAGE));
}
