import { useEffect, useRef } from "preact/hooks";
import type { Lines } from "../../model/rows";
import type { Tree } from "../../model/tree";
import { theme } from "../../settings";

const WIDTH = 8;

/** Marks beside the scroll bar: where failures are, where the search hits. */
export function Gutter(props: { tree: Tree; lines: Lines; hits: Int32Array; onJump: (line: number) => void }) {
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
      const mark = (line: number, x: number, width: number) =>
        context.fillRect(x * ratio, (line / count) * (height - 2 * ratio), width * ratio, 2 * ratio);
      context.fillStyle = style("--mark-strong");
      for (const i of hits) if (lines.lineOfRow[i]! >= 0) mark(lines.lineOfRow[i]!, 0, 4);
      context.fillStyle = style("--error-fill");
      for (let line = 0; line < count; line++) {
        const ref_ = lines.refs[line]!;
        if (ref_ >= 0 ? tree.rows[ref_]!.status === "ERROR" : lines.groups[~ref_]!.errors > 0 && !lines.groups[~ref_]!.open) {
          mark(line, 3, 5);
        }
      }
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
