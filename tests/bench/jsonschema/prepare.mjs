// Makes the data that every engine of the bench is given, from npm's @octokit/webhooks-schemas and -examples:
//   schemas/EVENT.json   one schema per event, with the definitions that it reaches
//   valid.tsv            EVENT, tab, payload: the examples that their schema allows, formats asserted
//   invalid.tsv          the same, each with one fault
// usage: node prepare.mjs NODE_MODULES OUT
import { createRequire } from "node:module";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

const [modules, out] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const Ajv = require("ajv").default, addFormats = require("ajv-formats").default;
const read = (path) => JSON.parse(readFileSync(`${modules}/@octokit/${path}`, "utf8"));
const whole = read("webhooks-schemas/schema.json");
const examples = read("webhooks-examples/api.github.com/index.json");

let state = 20261126; // mulberry32: the same faults in every run
function random(n) {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}

function references(value, found) {
  if (value === null || typeof value !== "object") return;
  if (typeof value.$ref === "string") found.push(value.$ref.replace("#/definitions/", ""));
  for (const inner of Object.values(value)) references(inner, found);
}

function schemaOf(root) {
  const definitions = {}, open = [root];
  while (open.length) {
    const name = open.pop();
    if (name in definitions) continue;
    definitions[name] = whole.definitions[name];
    references(definitions[name], open);
  }
  return { $schema: "http://json-schema.org/draft-07/schema#", $ref: `#/definitions/${root}`, definitions };
}

function places(value, list) {
  for (const key of Object.keys(value)) {
    list.push([value, key]);
    if (value[key] !== null && typeof value[key] === "object") places(value[key], list);
  }
  return list;
}

// One fault at a random place: a value of another type, a member less, or a member too many.
function broken(payload, allows) {
  for (;;) {
    const copy = structuredClone(payload), all = places(copy, []), [holder, key] = all[random(all.length)];
    const kind = random(3);
    if (kind === 0) holder[key] = typeof holder[key] === "string" ? 17 : "not this";
    else if (kind === 1 && !Array.isArray(holder)) delete holder[key];
    else if (!Array.isArray(holder)) holder.not_in_the_schema = true;
    if (!allows(copy)) return copy;
  }
}

mkdirSync(`${out}/schemas`, { recursive: true });
const valid = [], invalid = [];
for (const { name, examples: payloads } of examples) {
  const root = [`${name}_event`, `${name}$event`].find((n) => n in whole.definitions);
  const schema = schemaOf(root);
  const allows = new Ajv({ strict: false, validateFormats: false, logger: false }).compile(schema);
  const strict = addFormats(new Ajv({ strict: false, logger: false })).compile(schema);
  const good = payloads.filter((p) => allows(p) && strict(p)); // a format may tell branches apart
  if (!good.length) continue;
  writeFileSync(`${out}/schemas/${name}.json`, JSON.stringify(schema));
  for (const payload of good) {
    valid.push(`${name}\t${JSON.stringify(payload)}\n`);
    invalid.push(`${name}\t${JSON.stringify(broken(payload, allows))}\n`);
  }
}
writeFileSync(`${out}/valid.tsv`, valid.join(""));
writeFileSync(`${out}/invalid.tsv`, invalid.join(""));
console.error(`${valid.length} payloads, ${Math.round(valid.join("").length / valid.length)} bytes on average`);
