import { encodeBase64, signBytes } from "./signatures.js";

/** What a signed URL is made of. */
export interface SignedUrlOptions {
  /** The URL of the installation. */
  url: string;
  /** The id of the template. */
  template: string;
  /** Values of its fields, and options such as `_size`. */
  data: Record<string, string>;
  /** The signing key, `cwz_sign_…`. It is a secret: sign on a server. */
  key: string;
  /** Its number. */
  keyNumber: number;
  /** `jpg` by default. */
  format?: "jpg" | "png" | "webp" | "avif";
  /** The seconds until the URL expires; by default, it does not. */
  expiresIn?: number;
}

/** Return the signed URL of an on-demand image, without a request. */
export async function signUrl({
  url,
  template,
  data,
  key,
  keyNumber,
  format = "jpg",
  expiresIn,
}: SignedUrlOptions): Promise<string> {
  const path = `${template}.${format}`;
  const expiry = expiresIn === undefined ? {} : { e: String(Math.floor(Date.now() / 1000) + expiresIn) };
  const values = Object.entries({ ...data, ...expiry, k: String(keyNumber) });
  const query = encodeForm(values.sort(([one], [other]) => compareCodePoints(one, other)));
  const encoder = new TextEncoder();
  const digest = await signBytes(encoder.encode(key), encoder.encode(`${path}\n${query}`));
  const signature = encodeBase64(digest).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `${url.replace(/\/+$/, "")}/i/${path}?${query}&s=${signature}`;
}

/** Encode as the API does: "~" stays and "*" becomes "%2A". URLSearchParams does the opposite. */
const encodeForm = (values: [string, string][]): string =>
  new URLSearchParams(values).toString().replaceAll("*", "%2A").replaceAll("%7E", "~");

/** Compare texts by code points: JavaScript compares UTF-16 units, which have another order beyond U+FFFF. */
function compareCodePoints(one: string, other: string): number {
  const [left, right] = [one, other].map((text) => Array.from(text, (each) => each.codePointAt(0) ?? 0)) as [
    number[],
    number[],
  ];
  for (const [index, point] of left.entries()) {
    if (index >= right.length) return 1;
    if (point !== right[index]) return point - (right[index] ?? 0);
  }
  return left.length - right.length;
}
