import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { later, useLater } from "./later";

export interface MenuItem {
  value: string;
  label: ComponentChildren;
  disabled?: boolean;
}

export interface MenuProps {
  label: string;
  children: ComponentChildren;
  class?: string;
  items: MenuItem[];
  onSelect: (value: string) => void;
}

const list = later(() => import("./menu-list").then((module) => module.MenuList));

/**
 * A button that opens a list of actions, with the keyboard behaviour that menus have. That behaviour is much code:
 * the button stands alone until it has arrived.
 */
export function Menu(props: MenuProps) {
  const [pressed, setPressed] = useState(false);
  const List = useLater(list, pressed);
  if (List) return <List {...props} defaultOpen={pressed} />;
  return (
    <div class="menu">
      <button
        type="button"
        class={props.class ?? "icon-button"}
        aria-label={props.label}
        aria-haspopup="menu"
        aria-expanded={false}
        onClick={() => setPressed(true)}
      >
        {props.children}
      </button>
    </div>
  );
}
