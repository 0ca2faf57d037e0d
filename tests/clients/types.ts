// The compiler checks that members with defaults can be left out, and that codes, states and events are enumerations.
import type { components, paths, webhooks } from "./dist/index.js";
import { ConnectWyze, unwrap } from "./dist/index.js";

type Schemas = components["schemas"];
type Body = paths["/images"]["post"]["requestBody"];
const image: Body = { content: { "application/json": { template: "card", metadata: { order: 7 } } } };
const run: Schemas["RunRequest"] = { feed: "f", template: "card", outputs: [{ format: "jpg" }] };
const state: Schemas["RunItemInfo"]["state"] = "done";
const code: Schemas["ProblemInfo"]["code"] = "quota_exceeded";
type Message = webhooks["image.created"]["post"]["requestBody"]["content"]["application/json"];
const url = (message: Message): string => message.data.url;
// @ts-expect-error: not a state
const wrong: Schemas["RunItemInfo"]["state"] = "lost";

const cwz = new ConnectWyze({ url: "https://images.example.com", apiKey: "key" });
const feed = async (): Promise<string> => unwrap(await cwz.rest.POST("/feeds", { body: { name: "Products" } })).name;
async function listUrls(): Promise<string[]> {
  const urls: string[] = [];
  for await (const each of cwz.iterate((after) => cwz.rest.GET("/images", { params: { query: after } }))) {
    urls.push(each.url);
  }
  return urls;
}
// @ts-expect-error: not a path
const nothing = cwz.rest.GET("/nothing");
export { code, feed, image, listUrls, nothing, run, state, url, wrong };
