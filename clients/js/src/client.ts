import createClient, { type Client } from "openapi-fetch";
import { ApiError, type Problem, readProblem, WaitTimeoutError } from "./errors.js";
import { type RetryPolicy, retrying, wait } from "./retries.js";
import type { components, paths } from "./schema.js";

export type Schemas = components["schemas"];

/** How an installation is reached. */
export interface ClientOptions {
  /** The URL of the installation, such as `https://images.example.com`. */
  url: string;
  /** The API key. In browsers, use one that is limited to your origin. Without one, the constructor throws. */
  apiKey: string | undefined;
  /** When a request is sent again. */
  retry?: RetryPolicy;
  /** The function that sends requests; the global `fetch` by default. */
  fetch?: (request: Request) => Promise<Response>;
}

type ImageRequest = Schemas["ImageRequest"];

/** The bytes of an image. */
export interface RenderedImage {
  /** The file. */
  content: Uint8Array<ArrayBuffer>;
  /** Its media type, such as `image/png`. */
  contentType: string;
  /** What is wrong with it, such as `photo_missing;layer="Photo"`. */
  findings: string[];
  /** Whether it was rendered before. */
  isCached: boolean;
}

interface Page {
  next?: string | null;
}
type Result<Data> = { data?: Data; error?: unknown; response: Response };
type EntriesOf<Data> = { [Key in keyof Data]: Data[Key] extends (infer Entry)[] ? Entry : never }[keyof Data];

const FIRST_POLL = 250;
const MAX_POLL = 5000;
const WAIT_MILLISECONDS = 3_600_000;

/** Return the data of a response, or throw its problem as an ApiError. */
export function unwrap<Data>({ data, error, response }: Result<Data>): Data {
  if (error !== undefined || !response.ok) throw new ApiError(response.status, (error ?? {}) as Problem);
  return data as Data;
}

/** A client of an installation. */
export class ConnectWyze {
  /** The client of openapi-fetch, which knows all operations: `await client.rest.GET("/templates")`. */
  readonly rest: Client<paths>;
  readonly #fetch: (request: Request) => Promise<Response>;
  readonly #baseUrl: string;
  readonly #headers: Record<string, string>;

  constructor({ url, apiKey, retry = {}, fetch = (request) => globalThis.fetch(request) }: ClientOptions) {
    if (!apiKey) throw new TypeError("Give an API key");
    this.#baseUrl = `${url.replace(/\/+$/, "")}/v1`;
    this.#headers = { Authorization: `Bearer ${apiKey}` };
    this.#fetch = retrying(fetch, retry);
    // A redirect must not get the key.
    this.rest = createClient<paths>({
      baseUrl: this.#baseUrl,
      fetch: this.#fetch,
      headers: this.#headers,
      redirect: "error",
    });
  }

  /** Render an image, which is stored in the storage of the workspace. */
  async render(body: ImageRequest): Promise<Schemas["CreatedImage"]> {
    checkOneImage(body);
    return unwrap(await this.rest.POST("/images", { body })) as Schemas["CreatedImage"];
  }

  /** Render several images of the same values in one request; they are stored as a whole or not at all. */
  async renderSet(body: ImageRequest & Required<Pick<ImageRequest, "outputs">>): Promise<Schemas["ImageSet"]> {
    checkRenders(body);
    return unwrap(await this.rest.POST("/images", { body })) as Schemas["ImageSet"];
  }

  /** Render an image and return its bytes; it is not stored, unless `store` says so. */
  async renderBytes(body: ImageRequest): Promise<RenderedImage> {
    checkOneImage(body);
    const headers = { ...this.#headers, Accept: "image/*", "Content-Type": "application/json" };
    const options = { method: "POST", body: JSON.stringify(body), headers, redirect: "error" } as const;
    const response = await this.#fetch(new Request(`${this.#baseUrl}/images`, options));
    if (!response.ok) throw new ApiError(response.status, await readProblem(response));
    return {
      content: new Uint8Array(await response.arrayBuffer()),
      contentType: response.headers.get("Content-Type") ?? "",
      findings: (response.headers.get("Findings") ?? "").split(",").map((each) => each.trim()).filter(Boolean),
      isCached: response.headers.get("Cached") === "true",
    };
  }

  /**
   * Iterate over the entries of all pages of a list.
   *
   * @param list The request of a page: `(after) => client.rest.GET("/images", { params: { query: { ...after } } })`.
   */
  async *iterate<Data extends Page>(
    list: (after: { after?: string }) => Promise<Result<Data>>,
  ): AsyncGenerator<EntriesOf<Data>> {
    let after: { after?: string } = {};
    for (;;) {
      const page = unwrap(await list(after));
      yield* Object.values(page).find(Array.isArray) as EntriesOf<Data>[];
      if (!page.next) return;
      after = { after: page.next };
    }
  }

  /** Return a run once it has ended. */
  async waitForRun(id: string, timeout: number = WAIT_MILLISECONDS): Promise<Schemas["RunStatus"]> {
    const look = async () => unwrap(await this.rest.GET("/runs/{id}", { params: { path: { id } } }));
    return waitFor(look, (run) => run.finished_at !== null, timeout);
  }

  /** Return an import of a feed once it has ended, or needs a review. */
  async waitForImport(
    feed: string,
    number: number,
    timeout: number = WAIT_MILLISECONDS,
  ): Promise<Schemas["ImportInfo"]> {
    const path = { id: feed, number };
    const look = async () => unwrap(await this.rest.GET("/feeds/{id}/imports/{number}", { params: { path } }));
    return waitFor(look, (each) => each.state !== "queued", timeout);
  }

  /** Return a request for an image once the image is ready, or has failed. */
  async waitForImage(id: string, timeout: number = WAIT_MILLISECONDS): Promise<Schemas["ImageRequestInfo"]> {
    const look = async () => unwrap(await this.rest.GET("/image-requests/{id}", { params: { path: { id } } }));
    return waitFor(look, (request) => request.state !== "pending", timeout);
  }
}

/** Throw a TypeError for a dry run, whose answer is no image. */
function checkRenders(body: ImageRequest): void {
  if (body.dry_run) throw new TypeError("A dry run renders nothing: use rest.POST");
}

/** Throw a TypeError for a request whose answer is not one image. */
function checkOneImage(body: ImageRequest): void {
  if (body.outputs) throw new TypeError("Use renderSet for several images");
  checkRenders(body);
}

async function waitFor<Work>(
  look: () => Promise<Work>,
  hasEnded: (work: Work) => boolean,
  timeout: number,
): Promise<Work> {
  const end = Date.now() + timeout;
  for (let interval = FIRST_POLL; ; interval = Math.min(interval * 1.5, MAX_POLL)) {
    const work = await look();
    if (hasEnded(work)) return work;
    const left = end - Date.now();
    if (left <= 0) throw new WaitTimeoutError(timeout);
    await wait(Math.min(interval, left));
  }
}
