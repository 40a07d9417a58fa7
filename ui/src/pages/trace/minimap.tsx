import { useEffect, useRef } from "preact/hooks";
import { KINDS } from "../../model/kinds";
import { endOf, type Tree } from "../../model/tree";
import { theme } from "../../settings";

const HEIGHT = 44;
/** Height of the band of failures at the bottom. */
const BAND = 5;
/** Up to this many rows each has its own line. */
const BY_LINE = 400;
const MOST_LEVELS = 12;

/**
 * The whole trace at a glance: every span a stroke, failures in a red band below.
 * Dragging across it zooms the timeline; the keyboard's way is `z` on a span.
 */
export function Minimap(props: {
  tree: Tree;
  from: number;
  to: number;
  now: number;
  /** The stretch that the timeline shows; null for all. */
  zoom: readonly [number, number] | null;
  onZoom: (zoom: readonly [number, number] | null) => void;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const drag = useRef<{ x: number; moved: boolean } | null>(null);
  const { tree, from, to } = props;
  // A running trace is drawn anew as it grows, but not for every tick of the clock.
  const step = Math.round(((to - from) / Math.max(1, tree.to - tree.from)) * 50);

  useEffect(() => {
    let frame = 0;
    const paint = () => {
      frame = 0;
      const element = canvas.current;
      if (element) draw(element, tree, from, to, props.now);
    };
    const later = () => {
      frame ||= requestAnimationFrame(paint);
    };
    later();
    const observer = new ResizeObserver(later);
    observer.observe(canvas.current!);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", later);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", later);
      cancelAnimationFrame(frame);
    };
  }, [tree, step, from, theme.value]);

  const timeAt = (clientX: number) => {
    const area = box.current!.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (clientX - area.left) / area.width));
    return from + share * (to - from);
  };
  const left = props.zoom ? ((props.zoom[0] - from) / (to - from)) * 100 : 0;
  const right = props.zoom ? ((props.zoom[1] - from) / (to - from)) * 100 : 100;
  return (
    <div
      ref={box}
      class="minimap"
      aria-hidden="true"
      title="Drag to zoom, double click for the whole trace"
      onDblClick={() => props.onZoom(null)}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        drag.current = { x: event.clientX, moved: false };
      }}
      onPointerMove={(event) => {
        const start = drag.current;
        if (!start || (Math.abs(event.clientX - start.x) < 4 && !start.moved)) return;
        start.moved = true;
        const a = timeAt(Math.min(start.x, event.clientX));
        const b = timeAt(Math.max(start.x, event.clientX));
        if (b - a > (to - from) / 1e5) props.onZoom([a, b]);
      }}
      onPointerUp={() => {
        drag.current = null;
      }}
    >
      <canvas ref={canvas} height={HEIGHT} />
      {props.zoom && (
        <>
          <i class="shade" style={{ left: 0, width: `${Math.max(0, left)}%` }} />
          <i class="shade" style={{ left: `${Math.min(100, right)}%`, right: 0 }} />
          <i class="window" style={{ left: `${left}%`, width: `${right - left}%` }} />
        </>
      )}
    </div>
  );
}

function draw(canvas: HTMLCanvasElement, tree: Tree, from: number, to: number, now: number): void {
  const ratio = devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.round(HEIGHT * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d")!;
  context.clearRect(0, 0, width, height);
  // Colours live in the style sheet; a probe resolves them for the theme in use.
  const probe = document.createElement("i");
  document.body.append(probe);
  const colour = (name: string) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colours = new Map(KINDS.map((kind) => [kind, colour(`--kind-${kind}`)]));
  const error = colour("--error-fill");
  probe.remove();

  const count = tree.order.length;
  const scale = width / (to - from);
  const band = BAND * ratio;
  const room = height - band - ratio;
  // A trace of a size that fits keeps its shape, line by line; a larger one shows its levels.
  const byLine = count <= BY_LINE;
  let deepest = 0;
  for (let i = 0; i < count; i++) if (tree.depth[i]! > deepest) deepest = tree.depth[i]!;
  const lanes = byLine ? count : Math.min(deepest + 1, MOST_LEVELS);
  const stroke = byLine
    ? Math.max(ratio, Math.min(4 * ratio, room / lanes))
    : Math.max(ratio, room / lanes - ratio);
  const drawn = new Float64Array(lanes).fill(-1);
  const failed = new Float32Array(width + 1);
  let failures = 0;
  for (let k = 0; k < count; k++) {
    const i = tree.order[k]!;
    const row = tree.rows[i]!;
    const x = (row.start - from) * scale;
    const lane = byLine ? k : Math.min(tree.depth[i]!, lanes - 1);
    if (row.status === "ERROR") {
      failures++;
      failed[Math.max(0, Math.min(width, Math.round(x)))]!++;
    }
    const end = x + Math.max(ratio, (endOf(row, now) - row.start) * scale);
    if (!byLine) {
      // Strokes on pixels that their level has already drawn are skipped: what is seen costs, not what there is.
      if (end <= drawn[lane]!) continue;
      drawn[lane] = Math.ceil(end);
    }
    context.fillStyle = colours.get(row.kind)!;
    const y = byLine ? (lane / lanes) * (room - stroke) : (lane / lanes) * room;
    context.fillRect(x, y, end - x, stroke);
  }
  // Failures have a band of their own, so that none is drawn over.
  context.fillStyle = error;
  const perPixel = Math.max(1, failures / width);
  for (let x = 0; x <= width; x++) {
    if (failed[x] === 0) continue;
    context.globalAlpha = failures < width / 8 ? 1 : Math.min(1, 0.25 + failed[x]! / (3 * perPixel));
    context.fillRect(x - ratio, height - band, 3 * ratio, band);
  }
  context.globalAlpha = 1;
}
