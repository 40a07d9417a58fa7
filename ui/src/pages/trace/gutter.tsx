import { useEffect, useRef } from "preact/hooks";
import type { Lines } from "../../model/rows";
import type { Tree } from "../../model/tree";
import { theme } from "../../settings";

const WIDTH = 8;

/** Marks beside the scroll bar: where failures are, where the search hits. */
export function Gutter(props: {
  tree: Tree;
  lines: Lines;
  hits: Int32Array;
  onJump: (line: number) => void;
}) {
  const ref = useRef<HTMLCanvasElement>(null);
  const { tree, lines, hits } = props;
  useEffect(() => {
    const canvas = ref.current!;
    const paint = () => {
      const ratio = devicePixelRatio || 1;
      canvas.width = WIDTH * ratio;
      const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
      canvas.height = height;
      const context = canvas.getContext("2d")!;
      context.clearRect(0, 0, canvas.width, height);
      const style = (name: string) => {
        canvas.style.color = `var(${name})`;
        return getComputedStyle(canvas).color;
      };
      const count = lines.refs.length;
      const steps = Math.max(1, Math.floor(height / (2 * ratio)));
      // Where many lines share a pixel, the mark is as strong as the share of them that has it.
      const paintShares = (colour: string, x: number, width: number, has: (line: number) => boolean) => {
        const shares = new Float32Array(steps);
        for (let line = 0; line < count; line++) if (has(line)) shares[Math.floor((line / count) * steps)]!++;
        const perStep = Math.max(1, count / steps);
        context.fillStyle = colour;
        for (let k = 0; k < steps; k++) {
          if (shares[k] === 0) continue;
          context.globalAlpha = perStep <= 4 ? 1 : Math.min(1, 0.12 + (4 * shares[k]!) / perStep);
          context.fillRect(x * ratio, k * 2 * ratio, width * ratio, 2 * ratio);
        }
        context.globalAlpha = 1;
      };
      const hitLines = new Set<number>();
      for (const i of hits) hitLines.add(lines.lineOfRow[i]!);
      paintShares(style("--mark-strong"), 0, 4, (line) => hitLines.has(line));
      paintShares(style("--error-fill"), 3, 5, (line) => {
        const r = lines.refs[line]!;
        if (r >= 0) return tree.rows[r]!.status === "ERROR";
        return lines.groups[~r]!.errors > 0 && !lines.groups[~r]!.open;
      });
      canvas.style.color = "";
    };
    paint();
    const observer = new ResizeObserver(paint);
    observer.observe(canvas);
    return () => observer.disconnect();
  }, [tree, lines, hits, theme.value]);
  return (
    <canvas
      ref={ref}
      class="gutter"
      aria-hidden="true"
      onClick={(event) => {
        const area = event.currentTarget.getBoundingClientRect();
        props.onJump(Math.floor(((event.clientY - area.top) / area.height) * lines.refs.length));
      }}
    />
  );
}
