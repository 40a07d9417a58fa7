import { Component, type ComponentChildren } from "preact";

/** Draws again only when a property differs: what keeps scrolling cheap. */
export function memo<P extends object>(render: (props: P) => ComponentChildren) {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const now = this.props as Record<string, unknown>;
      for (const name in next) if (now[name] !== (next as Record<string, unknown>)[name]) return true;
      return false;
    }
    override render(props: P) {
      return render(props);
    }
  };
}
