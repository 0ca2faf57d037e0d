// The cards by takumi, and by satori + resvg: a job on standard input, medians in milliseconds on standard output.
import { text } from "node:stream/consumers";
import { Resvg } from "@resvg/resvg-js";
import satori from "satori";
import { catalogTrees, filesOf, styleOf, takumi } from "./cards.mjs";

const job = JSON.parse(await text(process.stdin));
const { width, height } = job, style = styleOf(job);
const files = await filesOf(job), { photo, logo, product, fonts } = files;

async function median(rows, draw) {
  const times = [];
  for (const row of rows) {
    const began = performance.now();
    await draw(row);
    times.push(performance.now() - began);
  }
  return times.slice(1).sort((a, b) => a - b)[Math.floor(job.rounds / 2)];
}

const [photoUrl, logoUrl, productUrl] = [photo, logo, product].map((file) => `data:image/jpeg;base64,${file.toString("base64")}`);

function element(type, props) { return { type, props }; }

// A tree of takumi as one of satori.
function satoriTree({ type, text, children = [], style }) {
  if (type === "image") return element("img", { src: productUrl, style });
  return element("div", { style, children: type === "text" ? text : children.map(satoriTree) });
}

async function satoriCard(card, row) {
  if (card === "catalog_card") {
    const svg = await satori(satoriTree(row), { width: job.side, height: job.side, fonts });
    return new Resvg(svg).render().asPng();
  }
  const pictures = [
    element("img", { src: photoUrl, width, height, style: style.photo }), element("div", { style: style.shade }),
    element("img", { src: logoUrl, width: 96, height: 96, style: style.logo }), element("div", { style: style.badge }),
  ];
  const texts = ["title", "subtitle", "price"].map((name) => element("div", { style: style[name], children: row[name] }));
  const root = element("div", { style: style.canvas, children: [...(card === "photo_card" ? pictures : []), ...texts] });
  return new Resvg(await satori(root, { width, height, fonts })).render().asPng();
}

const results = {}, draw = await takumi(job, files);
const rows = { photo_card: job.rows, text_card: job.rows, catalog_card: await catalogTrees(job) };
for (const card in rows) {
  for (const [name, options] of [["jpeg", { format: "jpeg", quality: job.quality }], ["png", { format: "png" }]]) {
    results[`takumi_${card}_${name}_ms`] = await median(rows[card], (row) => draw(card, row, options));
  }
  results[`satori_${card}_png_ms`] = await median(rows[card], (row) => satoriCard(card, row));
}
console.log(JSON.stringify(results));
