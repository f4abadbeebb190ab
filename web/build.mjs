// Bundle the page into the folder given: one script, one style, one packed engine, the licences.

import { readFileSync, mkdirSync, copyFileSync, writeFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync, constants } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
const modules = join(here, "node_modules");
const USED = ["onnxruntime-web", "onnxruntime-common", "@huggingface/tokenizers"];

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

await build({
  entryPoints: [join(here, "src/page.js")],
  outfile: join(out, "page.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  logLevel: "warning",
});

for (const name of ["index.html", "page.css"]) copyFileSync(join(here, "src", name), join(out, name));

const engine = readFileSync(join(modules, "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"));
writeFileSync(join(out, "engine.bin"), gzipSync(engine, { level: constants.Z_BEST_COMPRESSION }));

const told = USED.map((name) => {
  const about = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));
  return `${name} ${about.version}, ${about.license}`;
});
writeFileSync(
  join(out, "THIRD-PARTY.txt"),
  `This page contains:\n\n${told.join("\n")}\n\n` +
    readFileSync(join(modules, "@huggingface/tokenizers/LICENSE"), "utf8") +
    "\nThe MIT License (onnxruntime)\n\nCopyright (c) Microsoft Corporation\n\n" +
    readFileSync(join(here, "MIT.txt"), "utf8"),
);
