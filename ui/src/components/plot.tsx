import { formatDuration } from "../model/format";

interface Point {
  at: number;
  value: number;
}

/** A series over time as an area, newest at the right. Shown beside its figures, so it needs no axes of its own. */
export function Plot(props: {
  label: string;
  points: Point[];
  /** A second series on the same scale, drawn as a line of its own colour. */
  second?: { label: string; points: Point[] };
  format: (value: number) => string;
  seconds: number;
}) {
  const { points, second, seconds } = props;
  const width = 600;
  const height = 120;
  const last = points[points.length - 1];
  const most = Math.max(1e-9, ...points.map((point) => point.value));
  const now = last?.at ?? 0;
  const x = (at: number) => width - ((now - at) / (seconds * 1000)) * width;
  const y = (value: number) => height - 6 - (value / most) * (height - 20);
  const path = (list: Point[]) =>
    list
      .map((point, i) => `${i === 0 ? "M" : "L"}${x(point.at).toFixed(1)},${y(point.value).toFixed(1)}`)
      .join("");
  const line = path(points);
  const area =
    points.length > 1 ? `${line}L${width},${height - 6}L${x(points[0]!.at).toFixed(1)},${height - 6}Z` : "";
  const said = second ? `; ${second.label}: now ${props.format(second.points.at(-1)?.value ?? 0)}` : "";
  return (
    <figure class="plot">
      <svg
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${props.label}: now ${props.format(last?.value ?? 0)}, at most ${props.format(most < 1e-6 ? 0 : most)}${said}`}
      >
        <path class="plot-grid" d={`M0,${y(most)}H${width}M0,${y(most / 2)}H${width}M0,${y(0)}H${width}`} />
        <path class="plot-area" d={area} />
        <path class="plot-line" d={line} />
        {second?.points.some((point) => point.value > 0) && (
          <path class="plot-line second" d={path(second.points)} />
        )}
      </svg>
      <figcaption>
        <span>{most < 1e-6 ? "" : props.format(most)}</span>
        <span>
          {formatDuration(Math.round(seconds) * 1e6)} ago <span>now</span>
        </span>
      </figcaption>
    </figure>
  );
}
