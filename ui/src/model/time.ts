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

/** Made when first used: the browser reads its calendar tables for each. */
function lazily(options: Intl.DateTimeFormatOptions): () => Intl.DateTimeFormat {
  let made: Intl.DateTimeFormat | null = null;
  return () => (made ??= new Intl.DateTimeFormat(undefined, options));
}

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" } as const;
const local = lazily({ month: "short", day: "numeric", ...TIME });
const clock = lazily(TIME);
const zone = lazily({ timeZoneName: "shortOffset" });

/** The moment in the reader's zone: the clock alone for today, with the date otherwise. */
export function formatMoment(moment: Micros, now = Date.now()): string {
  if (!Number.isFinite(moment)) return "–";
  const date = new Date(moment / 1000);
  const today = new Date(now);
  const sameDay =
    date.getFullYear() === today.getFullYear() &&
    date.getMonth() === today.getMonth() &&
    date.getDate() === today.getDate();
  return (sameDay ? clock : local)().format(date);
}

/** Everything about a moment, for hover: exact UTC with microseconds, and the reader's own zone. */
export function exactMoment(moment: Micros): string {
  if (!Number.isFinite(moment)) return "not known";
  const seconds = Math.floor(moment / 1e6);
  const micros = Math.round(moment - seconds * 1e6);
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "outside the calendar";
  const utc = `${date.toISOString().slice(0, 19)}.${String(micros).padStart(6, "0")}Z`;
  const offset =
    zone()
      .formatToParts(date)
      .find((part) => part.type === "timeZoneName")?.value ?? "";
  return `${utc} · ${local().format(date)} ${offset}`.trim();
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
