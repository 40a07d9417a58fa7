import { useEffect, useState } from "preact/hooks";
import { ago, exactMoment, formatMoment } from "../model/time";

/** A moment in the reader's zone, with the exact value on hover and for machines. */
export function Moment(props: { at: number; relative?: boolean }) {
  const text = props.relative ? ago(props.at) : formatMoment(props.at);
  const iso = Number.isFinite(props.at) ? new Date(props.at / 1000) : null;
  return (
    <time
      dateTime={iso && !Number.isNaN(iso.getTime()) ? iso.toISOString() : undefined}
      // The exact words cost more than the rest of a list's row: they are made for those who point at them.
      onPointerEnter={(event) => {
        event.currentTarget.title = exactMoment(props.at);
      }}
    >
      {text}
    </time>
  );
}

/** Draws again every `interval` milliseconds while `on`, and returns the time then. */
export function useNow(interval: number, on: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!on) return;
    setNow(Date.now());
    const timer = setInterval(() => {
      if (!document.hidden) setNow(Date.now());
    }, interval);
    return () => clearInterval(timer);
  }, [interval, on]);
  return on ? now : Date.now();
}
