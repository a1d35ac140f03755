// The bench's rows for ajv: see bench.c. usage: node ajv.mjs NODE_MODULES DATA plain|formats SECONDS
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [modules, data, mode, seconds] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const Ajv = require("ajv").default, addFormats = require("ajv-formats").default;
const formats = mode === "formats";
const texts = new Map();

function compile(name, allErrors) {
  const ajv = new Ajv({ strict: false, validateFormats: formats, allErrors, logger: false });
  if (formats) addFormats(ajv);
  return ajv.compile(JSON.parse(texts.get(name)));
}

function load(file, known) {
  return readFileSync(`${data}/${file}`, "utf8").trimEnd().split("\n").map((line) => {
    const tab = line.indexOf("\t"), name = line.slice(0, tab), text = line.slice(tab + 1);
    if (!texts.has(name)) texts.set(name, readFileSync(`${data}/schemas/${name}.json`, "utf8"));
    if (!known.has(name)) known.set(name, [compile(name, false), compile(name, true)]);
    return { text, parsed: JSON.parse(text), check: known.get(name)[0], all: known.get(name)[1] };
  });
}

function rate(count, turn) {
  turn(); // warm
  const start = process.hrtime.bigint();
  let turns = 0, spent = 0;
  do {
    turn();
    turns++;
    spent = Number(process.hrtime.bigint() - start) / 1e9;
  } while (spent < Number(seconds));
  return (turns * count) / spent;
}

const known = new Map(), valid = load("valid.tsv", known), invalid = load("invalid.tsv", known);
const refused = valid.filter((d) => !d.check(d.parsed)).length, passed = invalid.filter((d) => d.check(d.parsed)).length;
let sink = 0;
const show = (row, value) => console.log(`${row}\t${value.toFixed(3)}`);
show("disagreements", refused + passed);
show("validate", rate(valid.length * 16, () => { for (const d of valid) for (let i = 0; i < 16; i++) sink += d.check(d.parsed); }));
show("parse", rate(valid.length, () => { for (const d of valid) sink += d.check(JSON.parse(d.text)); }));
show("reject", rate(invalid.length * 16, () => { for (const d of invalid) for (let i = 0; i < 16; i++) sink += d.check(d.parsed); }));
show("errors", rate(invalid.length, () => {
  for (const d of invalid) {
    d.all(d.parsed);
    for (const e of d.all.errors) sink += e.instancePath.length + e.schemaPath.length + e.message.length;
  }
}));
const start = process.hrtime.bigint();
for (const name of texts.keys()) compile(name, false);
show("compile", texts.size / (Number(process.hrtime.bigint() - start) / 1e9));
