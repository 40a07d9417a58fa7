import { signal } from "@preact/signals";

const said = signal("");
let timer: ReturnType<typeof setTimeout> | undefined;
const seen = signal("");

/** Says something to screen readers, and shows it for a moment when `visible`. */
export function announce(text: string, visible = false): void {
  said.value = "";
  requestAnimationFrame(() => {
    said.value = text;
  });
  if (!visible) return;
  seen.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => {
    seen.value = "";
  }, 2600);
}

export function Announcer() {
  return (
    <>
      <div class="sr" role="status" aria-live="polite">
        {said}
      </div>
      {seen.value !== "" && (
        <div class="toast" aria-hidden="true">
          {seen}
        </div>
      )}
    </>
  );
}

/** Puts text on the clipboard and says so. */
export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    announce(`${what} copied`, true);
  } catch {
    announce(`The browser did not allow copying ${what.toLowerCase()}`, true);
  }
}
