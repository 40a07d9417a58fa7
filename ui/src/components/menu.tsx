import * as menu from "@zag-js/menu";
import { normalizeProps, useMachine } from "@zag-js/preact";
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

export interface MenuItem {
  value: string;
  label: ComponentChildren;
  disabled?: boolean;
}

/** A button that opens a list of actions, with the keyboard behaviour that menus have. */
export function Menu(props: {
  label: string;
  children: ComponentChildren;
  class?: string;
  items: MenuItem[];
  onSelect: (value: string) => void;
}) {
  const service = useMachine(menu.machine, {
    id: useId(),
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
