import { formatDuration } from "./format";

/** Round moments for a time axis: at most `most`, at steps of 1, 2 or 5 (and clock steps from a minute on). */
export function ticks(from: number, to: number, most: number): { at: number; label: string }[] {
  const span = to - from;
  if (!(span > 0)) return [];
  const rough = span / Math.max(1, most);
  let step: number;
  if (rough >= 60e6) {
    const clock = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400].map(
      (s) => s * 1e6,
    );
    step = clock.find((candidate) => candidate >= rough) ?? Math.ceil(rough / 86_400e6) * 86_400e6;
  } else {
    const power = 10 ** Math.floor(Math.log10(rough));
    const digit = rough / power;
    step = (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10) * power;
  }
  const list: { at: number; label: string }[] = [];
  for (let k = Math.ceil(from / step - 1e-9); k * step <= to; k++) {
    list.push({
      at: k * step,
      label: formatDuration(Math.abs(k * step) < step / 1e6 ? 0 : k * step).replace("0 µs", "0"),
    });
  }
  return list;
}
