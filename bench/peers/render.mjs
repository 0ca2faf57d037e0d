// The two cards by takumi, and by satori + resvg: a job on standard input, medians in milliseconds on standard output.
import { text } from "node:stream/consumers";
import { Resvg } from "@resvg/resvg-js";
import satori from "satori";
import { filesOf, styleOf, takumi } from "./cards.mjs";

const job = JSON.parse(await text(process.stdin));
const { width, height } = job, style = styleOf(job);
const files = await filesOf(job), { photo, logo, fonts } = files;

async function median(draw) {
  const times = [];
  for (const row of job.rows) {
    const began = performance.now();
    await draw(row);
    times.push(performance.now() - began);
  }
  return times.slice(1).sort((a, b) => a - b)[Math.floor(job.rounds / 2)];
}

const photoUrl = `data:image/jpeg;base64,${photo.toString("base64")}`, logoUrl = `data:image/jpeg;base64,${logo.toString("base64")}`;

function element(type, props) { return { type, props }; }

async function satoriCard(card, row) {
  const pictures = [
    element("img", { src: photoUrl, width, height, style: style.photo }), element("div", { style: style.shade }),
    element("img", { src: logoUrl, width: 96, height: 96, style: style.logo }), element("div", { style: style.badge }),
  ];
  const texts = ["title", "subtitle", "price"].map((name) => element("div", { style: style[name], children: row[name] }));
  const root = element("div", { style: style.canvas, children: [...(card === "photo_card" ? pictures : []), ...texts] });
  return new Resvg(await satori(root, { width, height, fonts })).render().asPng();
}

const results = {}, draw = await takumi(job, files);
for (const card of ["photo_card", "text_card"]) {
  for (const [name, options] of [["jpeg", { format: "jpeg", quality: job.quality }], ["png", { format: "png" }]]) {
    results[`takumi_${card}_${name}_ms`] = await median(
      (row) => draw(card, row, options));
  }
  results[`satori_${card}_png_ms`] = await median((row) => satoriCard(card, row));
}
console.log(JSON.stringify(results));
