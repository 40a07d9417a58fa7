import { normalizeProps, useMachine } from "@zag-js/preact";
import * as tabs from "@zag-js/tabs";
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

export interface Tab {
  value: string;
  label: ComponentChildren;
}

/** Tabs with one panel shown. `value` is the owner's, so that the address can hold it. */
export function Tabs(props: {
  label: string;
  tabs: Tab[];
  value: string;
  onChange: (value: string) => void;
  children: ComponentChildren;
  end?: ComponentChildren;
}) {
  const service = useMachine(tabs.machine, {
    id: useId(),
    value: props.value,
    translations: { listLabel: props.label },
    onValueChange: (details) => details.value && props.onChange(details.value),
  });
  const api = tabs.connect(service, normalizeProps);
  return (
    <div {...api.getRootProps()} class="tabs">
      <div class="tabs-bar">
        <div {...api.getListProps()} class="tabs-list" aria-label={props.label}>
          {props.tabs.map((tab) => (
            <button key={tab.value} {...api.getTriggerProps({ value: tab.value })} class="tab">
              {tab.label}
            </button>
          ))}
        </div>
        {props.end}
      </div>
      <div key={props.value} {...api.getContentProps({ value: props.value })} class="tabs-panel">
        {props.children}
      </div>
    </div>
  );
}
