/** Microseconds since the Unix epoch, possibly with a fraction. */
export type Micros = number;

const ISO = /^(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:?\d{2})?$/;

/**
 * Reads an RFC 3339 moment without losing what lies below the millisecond, which `Date` would.
 * A moment without zone is UTC, as everywhere in the API. Returns NaN for anything else.
 */
export function parseMoment(text: string | null | undefined): Micros {
  if (!text) return Number.NaN;
  const match = ISO.exec(text);
  if (!match) return Number.NaN;
  const seconds = Date.parse(`${match[1]!.replace(" ", "T")}${match[3] ?? "Z"}`);
  const fraction = match[2] ? Number(match[2].padEnd(9, "0")) / 1000 : 0;
  return seconds * 1000 + fraction;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (value: number) => String(value).padStart(2, "0");

/** The time of day. Written by hand, like the rest here: the browser takes longer to read its calendar than to draw a page. */
function clock(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function dated(date: Date, year: number): string {
  const named = date.getFullYear() === year ? "" : ` ${date.getFullYear()}`;
  return `${MONTHS[date.getMonth()]} ${date.getDate()}${named}, ${clock(date)}`;
}

/** The zone as its distance from UTC on that day: `GMT+5:30`. */
function zone(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  if (minutes === 0) return "GMT";
  const size = Math.abs(minutes);
  const rest = size % 60 === 0 ? "" : `:${two(size % 60)}`;
  return `GMT${minutes < 0 ? "-" : "+"}${Math.floor(size / 60)}${rest}`;
}

/** The moment in the reader's zone: the clock alone for today, with the date otherwise. */
export function formatMoment(moment: Micros, now = Date.now()): string {
  if (!Number.isFinite(moment)) return "–";
  const date = new Date(moment / 1000);
  const today = new Date(now);
  const sameDay =
    date.getFullYear() === today.getFullYear() &&
    date.getMonth() === today.getMonth() &&
    date.getDate() === today.getDate();
  if (Number.isNaN(date.getTime())) return "outside the calendar";
  return sameDay ? clock(date) : dated(date, today.getFullYear());
}

/** Everything about a moment, for hover: exact UTC with microseconds, and the reader's own zone. */
export function exactMoment(moment: Micros): string {
  if (!Number.isFinite(moment)) return "not known";
  const seconds = Math.floor(moment / 1e6);
  const micros = Math.round(moment - seconds * 1e6);
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "outside the calendar";
  const utc = `${date.toISOString().slice(0, 19)}.${String(micros).padStart(6, "0")}Z`;
  return `${utc} · ${dated(date, new Date().getFullYear())} ${zone(date)}`;
}

/** How long ago, in the largest unit that fits: `12 s ago`. */
export function ago(moment: Micros, now = Date.now()): string {
  const seconds = Math.round(now / 1000 - moment / 1e6);
  if (!Number.isFinite(seconds)) return "";
  if (seconds < -5) return "in the future";
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
