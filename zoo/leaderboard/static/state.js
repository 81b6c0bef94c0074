// What is shown, kept in the address after "#", so that a link shows it again.

const FILTERS = {
  task: (row) => row.conditions?.task ?? "none",
  method: (row) => row.method,
  threat: (row) => (row.conditions ? threatOf(row.conditions) : "none"),
  sigma: (row) => String(row.sigma ?? NOT_STATED),
  n: (row) => (row.conditions ? whole(row.conditions.n) : NOT_STATED),
  alpha: (row) => String(row.conditions?.alpha ?? NOT_STATED),
  size: sizeOf,
  status: (row) => STATUS[row.status],
};
const DEFAULTS = { radius: "0.5", sort: "-accuracy", group: "yes", least: "", words: "", select: null };
for (const name of Object.keys(FILTERS)) DEFAULTS[name] = "";

/** The state that an address names; what it does not name has its default. */
function readState(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (given.has(name)) state[name] = given.get(name);
  state.select = state.select === null ? null : state.select.split(" ").filter(Boolean).map(decoded);
  return state;
}

/** The part of the address after "#": all that differs from the defaults. */
function writeState(state) {
  const kept = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (name !== "select" && value !== DEFAULTS[name]) kept.set(name, value);
  }
  if (state.select !== null) kept.set("select", state.select.map(encoded).join(" "));
  return `#${kept}`;
}

/** An id without spaces, which separate ids. */
function encoded(id) {
  return id.replace(/[%\s]/g, encodeURIComponent);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // an address written by hand
  }
}

/** Whether a row passes the filters. */
function isShown(row, state, radius) {
  for (const [name, valueOf] of Object.entries(FILTERS)) {
    if (state[name] && valueOf(row) !== state[name]) return false;
  }
  if (state.least && !((accuracyAt(row, radius)?.value ?? -1) >= Number(state.least) / 100)) return false;
  const text = `${row.name} ${row.method} ${row.architecture} ${row.trace.citation ?? ""}`.toLowerCase();
  return state.words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const BY_NAME = new Intl.Collator("en");
const KEYS = {
  accuracy: (row, radius) => accuracyAt(row, radius)?.value,
  acr: (row) => row.average_certified_radius?.value,
  standard: (row) => row.standard_accuracy?.value,
  abstention: (row) => row.abstention_rate?.value,
  sigma: (row) => row.sigma,
  size: (row) => row.num_parameters,
  name: (row) => row.name,
  method: (row) => row.method,
  status: (row) => row.status,
  task: (row) => row.conditions?.task,
  threat: (row) => row.conditions && threatOf(row.conditions),
  n: (row) => row.conditions?.n,
  alpha: (row) => row.conditions?.alpha,
};

/** The rows in the order of a sort such as "-accuracy", largest first; unknown values come last. */
function sorted(rows, sort, radius) {
  const isFalling = sort.startsWith("-"), key = KEYS[sort.replace("-", "")] ?? KEYS.accuracy;
  const values = new Map(rows.map((row) => [row, key(row, radius) ?? null]));
  return rows.toSorted((first, second) => {
    const [a, b] = [values.get(first), values.get(second)];
    if (a === b) return BY_NAME.compare(first.name, second.name);
    if (a === null || b === null) return a === null ? 1 : -1;
    const order = typeof a === "string" ? BY_NAME.compare(a, b) : a - b;
    return isFalling ? -order : order;
  });
}
