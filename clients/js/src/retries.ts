import { readProblem } from "./errors.js";

/** When a request is sent again. */
export interface RetryPolicy {
  /** How many times at most; 4 by default. */
  retries?: number;
  /** The longest wait between two attempts in milliseconds, 60,000 by default. If the server asks for a longer one, its response is the result. */
  maxWait?: number;
  /** The first wait in milliseconds if the server states none, 500 by default; each further one is twice as long. */
  firstWait?: number;
}

type Fetch = (request: Request) => Promise<Response>;

// 429 and 503 say when to try again; 502 and 504 come from proxies.
const PASSING_STATUSES = new Set([429, 502, 503, 504]);
const IDEMPOTENCY_KEY = "Idempotency-Key";

export const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Return a `fetch` that sends a request again after a failure that passes.
 *
 * Every POST has an `Idempotency-Key`, and the other methods are idempotent: to send a request twice does its work once.
 */
export function retrying(fetch: Fetch, { retries = 4, maxWait = 60_000, firstWait = 500 }: RetryPolicy): Fetch {
  return async (request) => {
    if (request.method === "POST" && !request.headers.has(IDEMPOTENCY_KEY)) {
      request.headers.set(IDEMPOTENCY_KEY, crypto.randomUUID());
    }
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt >= retries;
      let stated: number | undefined;
      try {
        const response = await fetch(isLast ? request : request.clone());
        if (isLast || response.ok || !(await mayPass(attempt, response))) return response;
        stated = retryAfter(response);
        if (stated !== undefined && stated > maxWait) return response;
        await response.body?.cancel();
      } catch (error) {
        // A TypeError is a failure of the network; another error is that the caller ended the request.
        if (isLast || !(error instanceof TypeError)) throw error;
      }
      await wait(stated ?? Math.min(maxWait, firstWait * 2 ** attempt) * (0.5 + Math.random() / 2));
    }
  };
}

async function mayPass(attempt: number, response: Response): Promise<boolean> {
  if (PASSING_STATUSES.has(response.status)) return true;
  // The connection of an earlier attempt was lost while the server went on with it.
  return attempt > 0 && response.status === 409 && (await readProblem(response.clone())).code === "request_in_flight";
}

/** Return the milliseconds of a Retry-After header (RFC 9110, section 10.2.3); the API does not send dates. */
function retryAfter(response: Response): number | undefined {
  const text = response.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(text) ? Number(text) * 1000 : undefined;
}
