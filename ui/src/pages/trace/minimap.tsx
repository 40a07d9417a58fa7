import { useEffect, useRef } from "preact/hooks";
import { KINDS } from "../../model/kinds";
import { endOf, type Tree } from "../../model/tree";
import { theme } from "../../settings";

const HEIGHT = 44;

/**
 * The whole trace at a glance: every span a stroke, in tree order from top to bottom, failures in red on top.
 * Dragging across it zooms the timeline; the keyboard's way is `z` on a span.
 */
export function Minimap(props: {
  tree: Tree;
  from: number;
  to: number;
  now: number;
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
  const stroke = Math.max(ratio, Math.min(4 * ratio, height / count));
  // Strokes that fall on the same pixels are drawn once: 100,000 spans make some thousands of strokes.
  const step = Math.max(1, Math.floor(count / (height * 12)));
  const failed: number[] = [];
  for (let k = 0; k < count; k++) {
    const i = tree.order[k]!;
    const row = tree.rows[i]!;
    if (row.status === "ERROR") failed.push(k);
    if (k % step !== 0 && tree.subtree[i]! < step) continue;
    context.fillStyle = colours.get(row.kind)!;
    const x = (row.start - from) * scale;
    context.fillRect(x, (k / count) * (height - stroke), Math.max(ratio, (endOf(row, now) - row.start) * scale), stroke);
  }
  context.fillStyle = error;
  for (const k of failed) {
    const row = tree.rows[tree.order[k]!]!;
    const x = (row.start - from) * scale;
    const long = Math.max(3 * ratio, (endOf(row, now) - row.start) * scale);
    context.fillRect(x, (k / count) * (height - stroke), long, Math.max(stroke, 3 * ratio));
  }
}
