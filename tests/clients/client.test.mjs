import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { ApiError, ConnectWyze, InvalidWebhookError, signUrl, unwrap, verifyWebhook } from "./dist/index.js";

const { CWZ_URL: url, CWZ_API_KEY: apiKey, CWZ_TEMPLATE: template } = process.env;
const cwz = new ConnectWyze({ url: `${url}/`, apiKey });
const collect = async (entries) => {
  const all = [];
  for await (const each of entries) all.push(each);
  return all;
};

test("images are rendered, stored, and listed", async () => {
  const image = await cwz.render({ template, data: { title: "Hello" }, metadata: { order: "A-17" } });
  assert.deepEqual([image.content_type, image.metadata], ["image/jpeg", { order: "A-17" }]);
  const rendered = await cwz.renderBytes({ template, data: { title: "Hello" }, format: "png" });
  assert.deepEqual([...rendered.content.slice(1, 4)], [...Buffer.from("PNG")]);
  assert.deepEqual([rendered.contentType, rendered.isCached], ["image/png", false]);
  const images = await collect(cwz.iterate((after) => cwz.rest.GET("/images", { params: { query: { ...after } } })));
  assert.deepEqual(images.map((each) => each.id), [image.id]);
});

test("all pages of a list are read", async () => {
  for (const name of ["One", "Two", "Three"]) unwrap(await cwz.rest.POST("/feeds", { body: { name } }));
  const feeds = await collect(cwz.iterate((after) => cwz.rest.GET("/feeds", { params: { query: { limit: 1, ...after } } })));
  assert.deepEqual(feeds.map((each) => each.name).sort(), ["One", "Three", "Two"]);
});

test("problems are errors", async () => {
  await assert.rejects(cwz.render({ template: "none" }), (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.status, error.code], [422, "unknown_template"]);
    return true;
  });
  await assert.rejects(cwz.renderBytes({ template, scale: 9 }), (error) => "scale" in error.errors);
});

test("what does not return one image is refused before the request", async () => {
  const offline = new ConnectWyze({ url, apiKey, fetch: () => assert.fail("a request was sent") });
  for (const render of [offline.render, offline.renderBytes]) {
    await assert.rejects(render.call(offline, { template, outputs: [{}] }), /^TypeError: .*renderSet/);
    await assert.rejects(render.call(offline, { template, dry_run: true }), /^TypeError: .*dry run/);
  }
  await assert.rejects(offline.renderSet({ template, outputs: [{}], dry_run: true }), /^TypeError: .*dry run/);
});

async function answering(answers, use) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const body = (await request.toArray()).join("");
    const answer = answers[requests.length];
    requests.push({ key: request.headers["idempotency-key"], body });
    if (answer === null) request.socket.destroy();
    else response.writeHead(answer.status, answer.headers).end(JSON.stringify(answer.body ?? {}));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return requests;
}

test("failures that pass are repeated with one idempotency key", async () => {
  const inFlight = { status: 409, body: { code: "request_in_flight" } };
  const answers = [null, inFlight, { status: 503 }, { status: 201, body: { id: "1" } }];
  const requests = await answering(answers, async (local) => {
    const client = new ConnectWyze({ url: local, apiKey, retry: { firstWait: 1 } });
    assert.equal((await client.render({ template })).id, "1");
  });
  assert.equal(requests.length, 4);
  assert.equal(new Set(requests.map((each) => each.key)).size, 1);
  assert.equal(new Set(requests.map((each) => each.body)).size, 1);
});

test("what is final is not repeated", async () => {
  const late = { status: 503, headers: { "Retry-After": "3600" } };
  for (const answer of [{ status: 409, body: { code: "request_in_flight" } }, late, { status: 422 }]) {
    const requests = await answering([answer], async (local) => {
      await assert.rejects(new ConnectWyze({ url: local, apiKey }).renderBytes({ template }), ApiError);
    });
    assert.equal(requests.length, 1);
  }
});

test("a redirect does not get the key", async () => {
  const redirect = { status: 302, headers: { Location: `${url}/v1/usage` } };
  const requests = await answering([redirect], async (local) => {
    await assert.rejects(new ConnectWyze({ url: local, apiKey, retry: { retries: 0 } }).render({ template }));
  });
  assert.equal(requests.length, 1);
});

test("webhooks are verified", async () => {
  const headers = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  };
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const body = '{"test": 2432232314}';
  assert.deepEqual(await verifyWebhook(body, new Headers(headers), secret, 1e10), { test: 2432232314 });
  await assert.rejects(verifyWebhook(`${body} `, headers, secret, 1e10), InvalidWebhookError);
  await assert.rejects(verifyWebhook(body, { ...headers, "webhook-id": undefined }, secret, 1e10), InvalidWebhookError);
  await assert.rejects(verifyWebhook(body, headers, secret), /not signed now/);
});

test("signed URLs are those of the documentation", async () => {
  const options = {
    url: "https://site.example/",
    template: "0190b0a0-0000-7000-8000-000000000002",
    data: { title: "Grüße & mehr", price: "9", e: "1800000000" },
    key: "cwz_sign_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    keyNumber: 1,
    format: "png",
  };
  assert.match(await signUrl(options), /&s=pTU87rdB4ncxLiNhJppo6HLB9j_RYXWasVsjiHjqwuE$/);
});

