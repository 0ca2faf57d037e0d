// Bundle the modules of the editor, with the parts of Konva that they use, into one minified script.
//   node scripts/bundle.mjs [FOLDER]
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
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
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
  preserveSymlinks: true, // the same comments about paths, wherever the packages are
  write: false,
});
// Minifying takes ten times as long as bundling: it is repeated only if a module, the minifier or this script changed.
const hash = createHash("sha256").update(license).update(outputFiles[0].text);
for (const part of ["node_modules/terser/package.json", "scripts/bundle.mjs"]) {
  hash.update(await readFile(join(root, part)));
}
const sources = `// ${hash.digest("hex")}\n`;

// A server and tests may be reading the file: an unchanged one stays as it is, and no part of one is seen.
const old = await readFile(file, "utf8").catch(() => "");
if (!old.endsWith(sources)) {
  const { minify } = await import("terser");
  // 4 KB less, compressed, than esbuild's own: a twenty-fifth of the budget. Konva's warnings for developers are 2 KB.
  const compress = { pure_funcs: ["Util.warn", "Util.error"] };
  const { code } = await minify(outputFiles[0].text, { module: true, compress, format: { comments: false } });
  await mkdir(folder, { recursive: true });
  const written = `${file}.${process.pid}`;
  await writeFile(written, `${code}\n/*!\nKonva, https://konvajs.org\n${license}*/\n${sources}`);
  await rename(written, file);
}
