// Bundle the modules of the editor, with the parts of Konva that they use, into one minified script.
//   node scripts/bundle.mjs [FOLDER]
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { minify } from "terser";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2] ?? join(root, "cwz_web/static/build");
const file = join(folder, "editor.js");
const license = await readFile(join(root, "node_modules/konva/LICENSE"), "utf8");

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ["cwz_web/static/editor/editor.js"],
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  write: false,
});
// 4 KB less, compressed, than esbuild's own: a twenty-fifth of the budget. Konva's warnings for developers are 2 KB.
const compress = { pure_funcs: ["Util.warn", "Util.error"] };
const { code } = await minify(outputFiles[0].text, { module: true, compress, format: { comments: false } });
const bundle = Buffer.from(`${code}\n/*!\nKonva, https://konvajs.org\n${license}*/\n`);

// A server and tests may be reading the file: an unchanged one stays as it is.
const old = await readFile(file).catch(() => undefined);
if (!old?.equals(bundle)) {
  await mkdir(folder, { recursive: true });
  await writeFile(file, bundle);
}
