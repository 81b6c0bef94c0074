// What rows must share for their numbers to be comparable, and the words for it.

const NOT_STATED = "not stated";
const STATUS = { audited: "audited", measured: "measured here", reported: "reported by its authors" };
const EVIDENCE = {
  log: "recomputed from its log",
  curve: "counted from the authors' log",
  document: "stated, without a log",
};
const SIZES = [[1e6, "below 1 M"], [1e7, "1 M to 10 M"], [3e7, "10 M to 30 M"], [Infinity, "above 30 M"]];

/** The conditions as [name, text of a row]; two rows compare like with like if all texts are equal. */
const CONDITIONS = [
  ["task", (c) => c.task],
  ["images", imagesInWords],
  ["threat model", threatOf],
  ["stopping rule", ruleInWords],
  ["n", (c) => whole(c.n)],
  ["n0", (c) => whole(c.n0)],
  ["alpha", (c) => c.alpha ?? NOT_STATED],
  ["bound", (c) => c.bound ?? NOT_STATED],
];

function whole(count) {
  return count === null ? NOT_STATED : count.toLocaleString("en");
}

function percent(share, digits = 1) {
  return (100 * share).toFixed(digits);
}

function threatOf(conditions) {
  return `${conditions.norm}, ${conditions.noise} noise`;
}

function imagesInWords(c) {
  const count = c.num_images === null ? "images" : `${whole(c.num_images)} images`;
  const split = c.split === null ? "" : ` of ${c.split}`;
  if (c.sample !== null) return `${c.sample} sample of ${count}${split}, seed ${c.image_seed}`;
  if (c.skip === null) return `${count}${split}, ${NOT_STATED} which`;
  const below = c.maximum === null ? "" : ` below ${whole(c.maximum)}`;
  return c.skip === 1 ? `${count}${split}, every one${below}` : `${count}${split}, 1 in ${c.skip}${below}`;
}

function ruleInWords(c) {
  const radius = c.radius_asked === null ? "" : ` at ${c.radius_asked}`;
  const tolerance = c.tolerance === null ? "" : `, tolerance ${c.tolerance}`;
  return (c.stopping ?? NOT_STATED) + radius + tolerance;
}

function sizeOf(row) {
  if (row.num_parameters === null) return "not known";
  return SIZES.find(([limit]) => row.num_parameters < limit)[1];
}

function millions(count) {
  if (count === null) return "–";
  return count < 1e6 ? `${Math.round(count / 1e3)} k` : `${(count / 1e6).toFixed(1)} M`;
}

/** The texts of a row's conditions; equal for comparable rows. */
function textsOf(row) {
  return row.conditions === null ? [] : CONDITIONS.map(([, text]) => String(text(row.conditions)));
}

function groupOf(row) {
  return row.conditions === null ? "" : textsOf(row).join("\n");
}

/** The conditions in which rows differ, as [name, distinct texts]. */
function differences(rows) {
  const texts = rows.filter((row) => row.conditions !== null).map(textsOf);
  const distinct = CONDITIONS.map(([name], at) => [name, [...new Set(texts.map((text) => text[at]))]]);
  return distinct.filter(([, values]) => values.length > 1);
}

/** Certified accuracy at a radius as {value, low, high}; null if the row does not state it. */
function accuracyAt(row, radius) {
  const steps = row.curve ?? row.points.filter((point) => Math.abs(point[0] - radius) < 1e-9);
  const step = steps.find(([least]) => least >= radius - 1e-9);
  if (step) return { value: step[1], low: step[2], high: step[3] };
  return row.curve ? { value: 0, low: 0, high: null } : null;
}
