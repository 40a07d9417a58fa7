import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icon";

/**
 * A dialog over the page. The browser's own `<dialog>` keeps the focus inside, gives it back, and makes the rest
 * of the page inert.
 */
export function Dialog(props: {
  title: string;
  onClose?: () => void;
  class?: string;
  children: ComponentChildren;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current!;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class={`dialog ${props.class ?? ""}`}
      aria-label={props.title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose?.();
      }}
      onClick={(event) => {
        if (event.target === ref.current) props.onClose?.();
      }}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2>{props.title}</h2>
          {props.onClose && (
            <button type="button" class="icon-button" aria-label="Close" onClick={props.onClose}>
              <Icon name="close" />
            </button>
          )}
        </header>
        {props.children}
      </div>
    </dialog>
  );
}
