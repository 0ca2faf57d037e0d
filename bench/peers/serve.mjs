// takumi behind Node's HTTP server: a job as the first line of standard input, the port on standard output; then each
// POST of a row's JSON is answered with the photo card as JPEG.
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { createInterface } from "node:readline";
import { filesOf, takumi } from "./cards.mjs";

const { value } = await createInterface({ input: process.stdin })[Symbol.asyncIterator]().next();
const job = JSON.parse(value);
const draw = await takumi(job, await filesOf(job));

const server = createServer(async (request, response) => {
  const { data } = await json(request);
  const picture = await draw("photo_card", data, { format: "jpeg", quality: job.quality });
  response.writeHead(200, { "Content-Type": "image/jpeg", "Content-Length": picture.length });
  response.end(picture);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
