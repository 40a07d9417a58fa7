/** Puts separators between the thousands of a decimal number. */
function grouped(value: number): string {
  const [whole, fraction] = String(value).split(".");
  const text = whole!.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? text : `${text}.${fraction}`;
}

/** A whole number with thousands separators. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? grouped(Math.round(value)) : "–";
}

/** A number in at most four characters and a unit letter: `1.2k`, `38M`. */
export function formatShort(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size < 1000) return String(Math.round(value));
  for (const [limit, divisor, letter] of [
    [999_500, 1e3, "k"],
    [999_500_000, 1e6, "M"],
    [Number.POSITIVE_INFINITY, 1e9, "G"],
  ] as const) {
    if (size < limit) {
      const scaled = value / divisor;
      return `${Math.abs(scaled) < 10 ? trimZero(scaled.toFixed(1)) : Math.round(scaled)}${letter}`;
    }
  }
  return String(value);
}

function trimZero(text: string): string {
  return text.endsWith(".0") ? text.slice(0, -2) : text;
}

/** A span of time given in microseconds, with three significant digits. */
export function formatDuration(micros: number): string {
  if (!Number.isFinite(micros)) return "–";
  const sign = micros < 0 ? "−" : "";
  const size = Math.abs(micros);
  if (size < 1) return size === 0 ? "0 µs" : `${sign}${Math.round(size * 1000)} ns`;
  if (size < 1000) return `${sign}${three(size)} µs`;
  if (size < 1e6) return `${sign}${three(size / 1e3)} ms`;
  if (size < 60e6) return `${sign}${three(size / 1e6)} s`;
  const seconds = Math.round(size / 1e6);
  if (seconds < 3600) return `${sign}${two(Math.floor(seconds / 60), "min", seconds % 60, "s")}`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${sign}${two(Math.floor(minutes / 60), "h", minutes % 60, "min")}`;
  const hours = Math.floor(minutes / 60);
  return `${sign}${two(Math.floor(hours / 24), "d", hours % 24, "h")}`;
}

function two(large: number, unit: string, small: number, smaller: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smaller}`;
}

function three(value: number): string {
  if (value >= 99.95) return String(Math.round(value));
  if (value >= 9.995) return trimZero(value.toFixed(1));
  return trimZero(value.toFixed(2).replace(/0$/, ""));
}

/** Exact microseconds, for hover. */
export function exactDuration(micros: number): string {
  if (!Number.isFinite(micros)) return "not ended";
  return `${grouped(Math.round(micros * 1000) / 1000)} µs`;
}

/** Money in US dollars: cents above a dollar, more digits below it, never a false zero. */
export function formatCost(dollars: number): string {
  if (!Number.isFinite(dollars)) return "–";
  if (dollars === 0) return "$0";
  const size = Math.abs(dollars);
  if (size >= 100) return `$${grouped(Math.round(dollars))}`;
  if (size >= 1) return `$${dollars.toFixed(2)}`;
  if (size >= 0.01) return `$${dollars.toFixed(3)}`;
  if (size >= 0.0001) return `$${dollars.toFixed(5)}`;
  return `$${dollars.toExponential(1)}`;
}

/** A size in bytes with a decimal unit. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return "–";
  if (bytes < 1000) return `${bytes} B`;
  for (const [divisor, unit] of [
    [1e3, "kB"],
    [1e6, "MB"],
    [1e9, "GB"],
    [1e12, "TB"],
  ] as const) {
    const scaled = bytes / divisor;
    if (scaled < 999.5) return `${scaled < 10 ? trimZero(scaled.toFixed(1)) : Math.round(scaled)} ${unit}`;
  }
  return `${Math.round(bytes / 1e15)} PB`;
}

/** A share of one as a percentage without false precision. */
export function formatShare(share: number): string {
  if (!Number.isFinite(share)) return "–";
  const percent = share * 100;
  if (percent > 0 && percent < 1) return "<1%";
  return `${Math.round(percent)}%`;
}

/** `1 span`, `2 spans`. */
export function plural(count: number, noun: string, many = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : many}`;
}

/** The first characters of an id, enough to recognise it. */
export function shortId(id: string): string {
  return id.length > 13 ? `${id.slice(0, 8)}…` : id === "" ? "(empty id)" : id;
}
