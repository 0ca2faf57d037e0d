/** A problem (RFC 9457) as the API sends it. */
export interface Problem {
  status?: number;
  code?: string;
  detail?: string;
  errors?: Record<string, string>;
  request_id?: string;
}

/** A problem that the API answered with. */
export class ApiError extends Error {
  /** The HTTP status. */
  readonly status: number;
  /** The stable identifier of the problem, such as `quota_exceeded`; "" if the response was no problem. */
  readonly code: string;
  /** A message for each invalid field, by its path in the request. */
  readonly errors: Record<string, string>;
  /** The identifier of the request, for support. */
  readonly requestId: string;

  constructor(status: number, problem: Problem) {
    const fields = Object.entries(problem.errors ?? {}).map(([path, message]) => `\n  ${path}: ${message}`);
    super(`${status} ${problem.code ?? ""}: ${problem.detail ?? "The server did not say why"}${fields.join("")}`);
    this.name = "ApiError";
    this.status = status;
    this.code = problem.code ?? "";
    this.errors = problem.errors ?? {};
    this.requestId = problem.request_id ?? "";
  }
}

/** Work that was waited for has not ended in time. It goes on. */
export class WaitTimeoutError extends Error {
  constructor(milliseconds: number) {
    super(`The work has not ended after ${milliseconds / 1000} seconds. It goes on.`);
    this.name = "WaitTimeoutError";
  }
}

/** Return the problem of a response; that of a proxy may have none. */
export async function readProblem(response: Response): Promise<Problem> {
  try {
    const problem: unknown = await response.json();
    if (typeof problem === "object" && problem !== null) return problem;
  } catch {
    // not JSON
  }
  return { detail: `The server answered ${response.statusText}` };
}
