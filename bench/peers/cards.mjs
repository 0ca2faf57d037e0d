// The cards as takumi draws them: of a job with the files of the photos, the logo and the fonts.
import { readFile } from "node:fs/promises";
import { Renderer } from "@takumi-rs/core";
import { container, image, text as words } from "@takumi-rs/helpers";
import { fromHtml } from "@takumi-rs/helpers/html";

const base = { position: "absolute", left: 0, top: 0 };

export const styleOf = ({ width, height }) => ({
  canvas: { width, height, display: "flex", position: "relative", backgroundColor: "#101020", color: "#ffffff", fontFamily: "Inter" },
  photo: { ...base, width, height, objectFit: "cover" },
  shade: { ...base, width, height, backgroundImage: "linear-gradient(to bottom, rgba(0,0,0,0), rgba(0,0,0,0.8))" },
  logo: { ...base, left: 60, top: 50, width: 96, height: 96, borderRadius: 48 },
  badge: { ...base, left: 900, top: 60, width: 240, height: 90, borderRadius: 45, backgroundColor: "#ff3355" },
  title: { ...base, left: 60, top: 300, width: 1000, fontSize: 68, fontWeight: 800, lineHeight: 1.2 },
  subtitle: { ...base, left: 60, top: 500, width: 1000, fontSize: 32, fontWeight: 400 },
  price: { ...base, left: 900, top: 60, width: 240, height: 90, fontSize: 40, fontWeight: 700, display: "flex", justifyContent: "center", alignItems: "center" },
});

export async function filesOf(job) {
  const fonts = await Promise.all(Object.entries(job.fonts).map(
    async ([weight, path]) => ({ name: "Inter", data: await readFile(path), weight: Number(weight), style: "normal" })));
  const [photo, logo, product] = await Promise.all([job.photo, job.logo, job.product].map((path) => readFile(path)));
  return { photo, logo, product, fonts };
}

// The trees of the catalog card, one for each row: parsing HTML is no part of what is measured.
export const catalogTrees = (job) => Promise.all(job.pages.map(async (page) => (await fromHtml(page)).node));

export async function takumi(job, { photo, logo, product, fonts }) {
  const { width, height } = job, style = styleOf(job), renderer = new Renderer();
  for (const font of fonts) await renderer.registerFont(font);
  const images = [{ src: "photo", data: photo }, { src: "logo", data: logo }, { src: "product", data: product }];
  return (card, row, options) => {
    if (card === "catalog_card") return renderer.render(row, { width: job.side, height: job.side, images, ...options });
    const pictures = [
      image({ src: "photo", style: style.photo }), container({ style: style.shade, children: [] }),
      image({ src: "logo", style: style.logo }), container({ style: style.badge, children: [] }),
    ];
    const texts = ["title", "subtitle"].map((name) => words(row[name], style[name]));
    const price = container({ style: style.price, children: [words(row.price)] });
    const root = container({ style: style.canvas, children: [...(card === "photo_card" ? pictures : []), ...texts, price] });
    return renderer.render(root, { width, height, images, ...options });
  };
}
