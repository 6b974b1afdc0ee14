// Bundles the page into search/web/static, where the wheel carries it; with --check, fails if what lies there is not what
// these sources make.
import { build } from "esbuild";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync, copyFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const place = join(here, "..", "search", "web", "static");
const bundled = ["preact", "@preact/signals", "@preact/signals-core", "htm", "photoswipe"];

async function make(folder) {
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: { app: "src/main.js", style: "src/style.css" },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    minify: true,
    target: ["chrome105", "firefox110", "safari16"],
    chunkNames: "[name]-[hash]",
    metafile: true,
    legalComments: "none",
    logLevel: "warning",
  });
  copyFileSync(join(here, "src", "icon.svg"), join(folder, "icon.svg"));
  const [, app] = Object.entries(metafile.outputs).find(([name]) => basename(name) === "app.js");
  const needed = app.imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => basename(path));
  const preloads = needed.map((name) => `<link rel="modulepreload" href="${name}">`).join("\n    ");
  const page = readFileSync(join(here, "src", "index.html"), "utf8");
  writeFileSync(join(folder, "index.html"), page.replace("<!-- preloads -->", preloads));
  const licences = bundled.map((name) => {
    const at = join(here, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(at, "package.json"), "utf8"));
    const file = readdirSync(at).find((entry) => /^licen[cs]e/i.test(entry));
    return `${name} ${version} (${license})\n\n${readFileSync(join(at, file), "utf8").trim()}\n`;
  });
  writeFileSync(join(folder, "licences.txt"), `The page contains:\n\n${licences.join(`\n${"-".repeat(72)}\n\n`)}`);
}

function contents(folder) {
  const names = readdirSync(folder).sort();
  return new Map(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

if (process.argv.includes("--check")) {
  const folder = mkdtempSync(join(tmpdir(), "descry-page-"));
  await make(folder);
  const [made, kept] = [contents(folder), contents(place)];
  rmSync(folder, { recursive: true });
  const different = [...new Set([...made.keys(), ...kept.keys()])].filter((name) => made.get(name) !== kept.get(name));
  if (different.length) {
    console.error(`${different.join(", ")}: not what web/src makes; run \`npm ci && npm run build\` in web/`);
    process.exit(1);
  }
} else {
  for (const name of readdirSync(place)) rmSync(join(place, name));
  await make(place);
}
