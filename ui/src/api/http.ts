import { credentials, signInNeeded } from "./session";

/** An answer that is not the asked-for one, in words for the reader. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const WORDS: Record<number, string> = {
  0: "The server does not answer. It may be stopped or restarting.",
  401: "The server wants an API key.",
  404: "There is no such thing on this server.",
  429: "The server is busy. Try again in a moment.",
  503: "The server is busy. Try again in a moment.",
};

/** Sends a request and returns the answer if it is a success. */
export async function request(path: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      ...options,
      headers: { ...credentials(), ...(options.headers as Record<string, string> | undefined) },
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, WORDS[0]!);
  }
  if (response.ok) return response;
  if (response.status === 401) signInNeeded.value = true;
  throw new ApiError(response.status, await reason(response));
}

async function reason(response: Response): Promise<string> {
  const word = WORDS[response.status];
  if (word) return word;
  try {
    const { detail } = (await response.json()) as { detail?: unknown };
    if (typeof detail === "string") return `${detail[0]?.toUpperCase() ?? ""}${detail.slice(1)}.`;
  } catch {
    // No JSON: the status has to do.
  }
  return `The server answered ${response.status}.`;
}

/** Builds a query from what is given: a list repeats its name, empty and absent values are left out. */
export function query(
  values: Record<string, string | number | boolean | readonly string[] | null | undefined>,
): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) for (const one of value) parts.append(name, one);
    else if (value !== null && value !== undefined && value !== "") parts.set(name, String(value));
  }
  const text = parts.toString();
  return text === "" ? "" : `?${text}`;
}
