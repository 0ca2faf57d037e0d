// Bundle the modules of the editor, with the parts of Konva that they use, into one minified script.
//   node scripts/bundle.mjs [FOLDER]
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = process.argv[2] ?? join(root, "cwz_web/static/build");
const file = join(folder, "editor.js");
const license = await readFile(join(root, "node_modules/konva/LICENSE"), "utf8");

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ["cwz_web/static/editor/editor.js"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  footer: { js: `/*!\nKonva, https://konvajs.org\n${license}*/` },
  logLevel: "warning",
  write: false,
});
const bundle = outputFiles[0].contents;

// A server and tests may be reading the file: an unchanged one stays as it is.
const old = await readFile(file).catch(() => undefined);
if (!old?.equals(bundle)) {
  await mkdir(folder, { recursive: true });
  await writeFile(file, bundle);
}
