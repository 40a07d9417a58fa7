import * as menu from "@zag-js/menu";
import { normalizeProps, useMachine } from "@zag-js/preact";
import { useId } from "preact/hooks";
import type { MenuProps } from "./menu";

/** A menu as it works. */
export function MenuList(props: MenuProps & { defaultOpen: boolean }) {
  const service = useMachine(menu.machine, {
    id: useId(),
    defaultOpen: props.defaultOpen,
    positioning: { placement: "bottom-end", gutter: 4 },
    onSelect: (details) => props.onSelect(details.value),
  });
  const api = menu.connect(service, normalizeProps);
  return (
    <div class="menu">
      <button {...api.getTriggerProps()} class={props.class ?? "icon-button"} aria-label={props.label}>
        {props.children}
      </button>
      <div {...api.getPositionerProps()} class="menu-place">
        <ul {...api.getContentProps()} class="menu-list" aria-label={props.label}>
          {props.items.map((item) => (
            <li
              key={item.value}
              {...api.getItemProps({ value: item.value, disabled: item.disabled })}
              class="menu-item"
            >
              {item.label}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
