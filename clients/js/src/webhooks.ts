import { decodeBase64, encodeBase64, signBytes } from "./signatures.js";

const PREFIX = "whsec_";
const TOLERANCE_SECONDS = 300;

/** The message of a webhook. It can arrive twice: compare its `webhook-id`. */
export interface WebhookMessage {
  type: string;
  timestamp: string;
  data: Record<string, unknown>;
}

/** A message that was not signed with the secret, or not now. */
export class InvalidWebhookError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "InvalidWebhookError";
  }
}

/**
 * Return the message of a webhook whose signature is valid (Standard Webhooks, https://www.standardwebhooks.com).
 *
 * @param body The body of the request as it was received. A parsed and written body has another signature.
 * @param headers The headers of the request.
 * @param secret The secret of the webhook, `whsec_…`.
 * @param tolerance The largest difference of the clocks in seconds; older messages may have been recorded and replayed.
 * @throws InvalidWebhookError A header is missing, the signature is wrong, or the message is too old or too new.
 */
export async function verifyWebhook(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Headers | Record<string, string | string[] | undefined>,
  secret: string,
  tolerance: number = TOLERANCE_SECONDS,
): Promise<WebhookMessage> {
  const [id, timestamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) => {
    const value = headers instanceof Headers ? headers.get(name) : headers[name];
    if (typeof value !== "string") throw new InvalidWebhookError(`The header ${name} is missing`);
    return value;
  }) as [string, string, string];
  if (!/^\d{1,12}$/.test(timestamp)) throw new InvalidWebhookError("The header webhook-timestamp is not a Unix time");
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > tolerance) {
    throw new InvalidWebhookError("The message was not signed now");
  }
  if (!secret.startsWith(PREFIX)) throw new TypeError("A secret of a webhook begins with whsec_");
  const encoder = new TextEncoder();
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  const head = encoder.encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + bytes.length);
  signed.set(head);
  signed.set(bytes, head.length);
  const expected = `v1,${encodeBase64(await signBytes(decodeBase64(secret.slice(PREFIX.length)), signed))}`;
  if (!signatures.split(" ").some((each) => isEqual(each, expected))) {
    throw new InvalidWebhookError("The signature does not match");
  }
  return JSON.parse(new TextDecoder().decode(bytes)) as WebhookMessage;
}

/** Return whether two texts are equal, in a time that does not depend on where they differ. */
function isEqual(one: string, other: string): boolean {
  let difference = one.length ^ other.length;
  for (let index = 0; index < other.length; index++) difference |= one.charCodeAt(index) ^ other.charCodeAt(index);
  return difference === 0;
}
