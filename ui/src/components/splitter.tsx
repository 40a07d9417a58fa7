import { useRef } from "preact/hooks";

/** A bar between two panes that moves by pointer and by keyboard. `value` is the share before it, in percent. */
export function Splitter(props: {
  label: string;
  value: number;
  min: number;
  max: number;
  onChange: (value: number) => void;
  /** True when the share that grows with a move to the right is the one after the bar. */
  reverse?: boolean;
}) {
  const from = useRef<{ x: number; value: number; width: number } | null>(null);
  const clamp = (value: number) => Math.min(props.max, Math.max(props.min, value));
  const sign = props.reverse ? -1 : 1;
  return (
    <div
      class="splitter"
      role="separator"
      tabIndex={0}
      aria-label={props.label}
      aria-orientation="vertical"
      aria-valuenow={Math.round(props.value)}
      aria-valuemin={props.min}
      aria-valuemax={props.max}
      onKeyDown={(event) => {
        const step = event.key === "ArrowRight" ? 2 : event.key === "ArrowLeft" ? -2 : 0;
        if (step === 0) return;
        event.preventDefault();
        event.stopPropagation();
        props.onChange(clamp(props.value + sign * step));
      }}
      onPointerDown={(event) => {
        const bar = event.currentTarget;
        bar.setPointerCapture(event.pointerId);
        from.current = { x: event.clientX, value: props.value, width: bar.parentElement!.clientWidth };
      }}
      onPointerMove={(event) => {
        const start = from.current;
        if (start)
          props.onChange(clamp(start.value + (sign * (event.clientX - start.x) * 100) / start.width));
      }}
      onPointerUp={() => {
        from.current = null;
      }}
    />
  );
}
