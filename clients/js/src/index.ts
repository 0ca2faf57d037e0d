export { type ClientOptions, ConnectWyze, type RenderedImage, type Schemas, unwrap } from "./client.js";
export { ApiError, type Problem, WaitTimeoutError } from "./errors.js";
export type { RetryPolicy } from "./retries.js";
export type { components, paths, webhooks } from "./schema.js";
export { type SignedUrlOptions, signUrl } from "./signed-urls.js";
export { InvalidWebhookError, verifyWebhook, type WebhookMessage } from "./webhooks.js";
