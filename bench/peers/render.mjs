// The two cards by takumi, and by satori + resvg: a job on standard input, medians in milliseconds on standard output.
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Renderer } from "@takumi-rs/core";
import { container, image, text as words } from "@takumi-rs/helpers";
import { Resvg } from "@resvg/resvg-js";
import satori from "satori";

const job = JSON.parse(await text(process.stdin));
const { width, height } = job;
const photo = await readFile(job.photo), logo = await readFile(job.logo);
const fonts = await Promise.all(Object.entries(job.fonts).map(
  async ([weight, path]) => ({ name: "Inter", data: await readFile(path), weight: Number(weight), style: "normal" })));

const base = { position: "absolute", left: 0, top: 0 };
const style = {
  canvas: { width, height, display: "flex", position: "relative", backgroundColor: "#101020", color: "#ffffff", fontFamily: "Inter" },
  photo: { ...base, width, height, objectFit: "cover" },
  shade: { ...base, width, height, backgroundImage: "linear-gradient(to bottom, rgba(0,0,0,0), rgba(0,0,0,0.8))" },
  logo: { ...base, left: 60, top: 50, width: 96, height: 96, borderRadius: 48 },
  badge: { ...base, left: 900, top: 60, width: 240, height: 90, borderRadius: 45, backgroundColor: "#ff3355" },
  title: { ...base, left: 60, top: 300, width: 1000, fontSize: 68, fontWeight: 800, lineHeight: 1.2 },
  subtitle: { ...base, left: 60, top: 500, width: 1000, fontSize: 32, fontWeight: 400 },
  price: { ...base, left: 900, top: 60, width: 240, height: 90, fontSize: 40, fontWeight: 700, display: "flex", justifyContent: "center", alignItems: "center" },
};

async function median(draw) {
  const times = [];
  for (const row of job.rows) {
    const began = performance.now();
    await draw(row);
    times.push(performance.now() - began);
  }
  return times.slice(1).sort((a, b) => a - b)[Math.floor(job.rounds / 2)];
}

const renderer = new Renderer();
for (const font of fonts) await renderer.registerFont(font);
const images = [{ src: "photo", data: photo }, { src: "logo", data: logo }];

function takumiCard(card, row) {
  const pictures = [
    image({ src: "photo", style: style.photo }), container({ style: style.shade, children: [] }),
    image({ src: "logo", style: style.logo }), container({ style: style.badge, children: [] }),
  ];
  const texts = ["title", "subtitle"].map((name) => words(row[name], style[name]));
  const price = container({ style: style.price, children: [words(row.price)] });
  return container({ style: style.canvas, children: [...(card === "photo_card" ? pictures : []), ...texts, price] });
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

const results = {};
for (const card of ["photo_card", "text_card"]) {
  for (const [name, options] of [["jpeg", { format: "jpeg", quality: job.quality }], ["png", { format: "png" }]]) {
    results[`takumi_${card}_${name}_ms`] = await median(
      (row) => renderer.render(takumiCard(card, row), { width, height, images, ...options }));
  }
  results[`satori_${card}_png_ms`] = await median((row) => satoriCard(card, row));
}
console.log(JSON.stringify(results));
