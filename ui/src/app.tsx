import { signal } from "@preact/signals";
import { Component, type ComponentChildren } from "preact";
import { useEffect, useErrorBoundary } from "preact/hooks";
import { identify, info } from "./api/identity";
import { signedIn, signInNeeded, signOut } from "./api/session";
import { AccountChoice } from "./components/account-choice";
import { Announcer } from "./components/announce";
import { Dialog } from "./components/dialog";
import { Icon } from "./components/icon";
import { SHORTCUTS, useKeys } from "./components/keys";
import { Traces } from "./pages/traces";
import { isTracesPath } from "./pages/traces/filter";
import { navigate, place, traceIdOf } from "./router";
import { type Theme, theme } from "./settings";
import { SignIn } from "./sign-in";

const helpOpen = signal(false);

export function App() {
  useKeys({
    "?": () => {
      helpOpen.value = true;
    },
    "g t": () => navigate("/"),
    "g c": () => navigate("/compare"),
    "g h": () => navigate("/health"),
  });
  const isIn = !signInNeeded.value;
  useEffect(() => {
    if (isIn) void identify();
  }, [isIn]);
  const path = place.value.path;
  const traceId = traceIdOf(place.value);
  return (
    <div class="frame">
      <a class="button skip" href="#main">
        Skip to content
      </a>
      <header class="topbar">
        <a class="brand" href="/" aria-label="endspan, all traces">
          <Logo />
          <span>endspan</span>
        </a>
        <nav aria-label="Pages">
          <NavLink href="/" current={path === "/" || traceId !== null}>
            Traces
          </NavLink>
          <NavLink href="/compare" current={path === "/compare"}>
            Compare
          </NavLink>
          <NavLink href="/health" current={path === "/health"}>
            Health
          </NavLink>
        </nav>
        <span class="grow" />
        <AccountChoice />
        <ThemeButton />
        <button
          type="button"
          class="icon-button"
          aria-label="Help and keyboard"
          title="Help and keyboard (?)"
          onClick={() => {
            helpOpen.value = true;
          }}
        >
          <Icon name="help" />
        </button>
        {signedIn.value && (
          <button type="button" class="button small" title={keyTitle()} onClick={signOut}>
            Sign out
          </button>
        )}
      </header>
      <main class="main" id="main" tabIndex={path === "/health" ? 0 : -1}>
        <Boundary key={path}>
          {signInNeeded.value ? null : traceId !== null ? (
            <Lazy load={() => import("./pages/trace")} props={{ traceId }} key={traceId} />
          ) : path === "/compare" ? (
            <Lazy load={() => import("./pages/compare")} props={{}} />
          ) : path === "/health" ? (
            <Lazy load={() => import("./pages/health")} props={{}} />
          ) : isTracesPath(path) ? (
            <Traces />
          ) : (
            <div class="empty">
              <h1>There is no such page</h1>
              <p>
                <a href="/">All traces</a>
              </p>
            </div>
          )}
        </Boundary>
      </main>
      {helpOpen.value && <Help />}
      {signInNeeded.value && <SignIn />}
      <Announcer />
    </div>
  );
}

/** Who is signed in, in words. */
function keyTitle(): string {
  const key = info.value?.key;
  if (!key) return "Forget the API key of this tab";
  const name = key.name === "" ? key.id : key.name;
  return `Signed in with the key ${name}: ${key.roles.join(", ")}, ${key.account ?? "all accounts"}`;
}

function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#3451d1" />
      <path d="M7 9.5h12M11 16h10M15 22.5h7" stroke="#fff" stroke-width="3" stroke-linecap="round" />
      <path d="M25.5 7v18" stroke="#ffb454" stroke-width="3" stroke-linecap="round" />
    </svg>
  );
}

function NavLink(props: { href: string; current: boolean; children: ComponentChildren }) {
  return (
    <a href={props.href} aria-current={props.current ? "page" : undefined}>
      {props.children}
    </a>
  );
}

const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const THEME_ICON: Record<Theme, string> = { auto: "auto", light: "sun", dark: "moon" };

function ThemeButton() {
  const text = `Theme: ${theme.value === "auto" ? "as the system" : theme.value}`;
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={text}
      title={text}
      onClick={() => {
        theme.value = NEXT[theme.value];
      }}
    >
      <Icon name={THEME_ICON[theme.value]} />
    </button>
  );
}

function Help() {
  return (
    <Dialog
      title="Keyboard"
      onClose={() => {
        helpOpen.value = false;
      }}
    >
      <div class="keys">
        {SHORTCUTS.map((group) => (
          <section key={group.place}>
            <h3>{group.place}</h3>
            <dl>
              {group.keys.map(([keys, what]) => (
                <div key={keys}>
                  <dt>
                    <kbd>{keys}</kbd>
                  </dt>
                  <dd>{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <p class="muted">
        Every view has its own address: copy it from the address bar, or with <kbd>c</kbd> in a trace.
      </p>
      <p class="muted">
        <a href="/licenses.md" target="_blank" rel="noreferrer">
          Licences of what this page is made of
        </a>
      </p>
    </Dialog>
  );
}

/** Keeps one page's failure from taking the frame with it. */
function Boundary(props: { children: ComponentChildren }) {
  const [error, reset] = useErrorBoundary();
  if (!error) return <>{props.children}</>;
  return (
    <div class="empty" role="alert">
      <h1>This view failed</h1>
      <p class="soft">{error instanceof Error ? error.message : String(error)}</p>
      <p>
        <button type="button" class="button" onClick={reset}>
          Try again
        </button>
      </p>
    </div>
  );
}

interface LazyProps<P> {
  load: () => Promise<{ default: (props: P) => ComponentChildren }>;
  props: P;
}

/** Loads a page's code when it is first opened. */
class Lazy<P extends object> extends Component<
  LazyProps<P>,
  { page: ((props: P) => ComponentChildren) | null }
> {
  override state: { page: ((props: P) => ComponentChildren) | null } = { page: null };
  override componentDidMount() {
    this.props.load().then(
      (module) => this.setState({ page: module.default }),
      (error) =>
        this.setState(() => {
          throw error;
        }),
    );
  }
  override render({ props }: LazyProps<P>) {
    const Page = this.state.page as ((props: P) => never) | null;
    return Page ? <Page {...props} /> : null;
  }
}

/** Sets the title of the browser's tab. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title === "" ? "endspan" : `${title} · endspan`;
  }, [title]);
}
