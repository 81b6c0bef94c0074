// The rows of the table, their groups and their details.

const COLUMNS = 9;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The table row of a row; its checkbox and its button call `onSelect` and `onDetails`. */
function tableRow(row, { onSelect, onDetails }) {
  const box = element("input", { type: "checkbox", ariaLabel: `Show ${row.name} in the chart` });
  box.addEventListener("change", () => onSelect(row, box.checked));
  const button = element("button", { type: "button", className: "name", ariaExpanded: "false" }, row.name);
  button.addEventListener("click", () => onDetails(row));
  const under = element("span", { className: "under" }, `${row.architecture}, ${EVIDENCE[row.evidence]}`);
  const differs = element("span", { className: "under conditions" }, conditionsInWords(row));
  const line = element("tr", { className: "model" },
    element("td", {}, box),
    element("th", { scope: "row" }, button, under, differs),
    element("td", {}, element("span", { className: `status ${row.status}` }, STATUS[row.status])),
    element("td", { className: "wide" }, row.method),
    labelled("Sigma", element("td", { className: "number" }, String(row.sigma ?? "–"))),
    element("td", { className: "number accuracy" }),
    valueCell(row.standard_accuracy, (value) => percent(value), "wide"),
    labelled("Average radius", valueCell(row.average_certified_radius, (value) => value.toFixed(3))),
    element("td", { className: "number wide" }, millions(row.num_parameters)),
  );
  return { line, box, button, accuracy: line.querySelector(".accuracy"), details: null };
}

/** The cell with the heading that narrow windows show in it, where the table has no head. */
function labelled(text, cell) {
  cell.dataset.label = text;
  return cell;
}

function conditionsInWords(row) {
  return row.conditions === null ? "no certified result" : textsOf(row).map((text, at) => named(at, text)).join(" · ");
}

function named(at, text) {
  const name = CONDITIONS[at][0];
  return ["n", "n0", "alpha", "stopping rule", "bound"].includes(name) ? `${name.replace("stopping ", "")} ${text}` : text;
}

function valueCell(value, format, className = "") {
  const cell = element("td", { className: `number ${className}` });
  fillValue(cell, value, format);
  return cell;
}

/** Writes a value and its interval into a cell. */
function fillValue(cell, value, format) {
  cell.replaceChildren(value ? format(value.value) : "–");
  if (value && value.low !== null && value.high !== null) {
    cell.append(element("span", { className: "under" }, `${format(value.low)} to ${format(value.high)}`));
  }
}

/** The heading of comparable rows. */
function groupHeading(rows) {
  const count = `${rows.length} ${rows.length === 1 ? "model" : "models"}`;
  const [first] = rows, task = first.conditions?.task ?? "No certified result";
  const rest = first.conditions ? textsOf(first).map((text, at) => named(at, text)).slice(1).join(" · ") : "nothing to compare";
  return element("tr", { className: "group" }, element("th", { colSpan: COLUMNS, scope: "rowgroup" },
    element("span", { className: "task" }, task), element("span", { className: "under" }, `${rest} · ${count}`)));
}

/** The row below a model with everything that its numbers depend on and come from. */
function detailsRow(row) {
  const list = element("dl", { className: "facts" });
  for (const [name, text] of factsOf(row)) list.append(element("div", {}, element("dt", {}, capitalised(name)), element("dd", {}, text)));
  for (const note of row.notes) list.append(element("div", { className: "note" }, element("dt", {}, "Note"), element("dd", {}, note)));
  const perClass = row.classes.length ? [element("div", { className: "per-class" })] : [];
  return element("tr", { className: "details" }, element("td", { colSpan: COLUMNS }, list, ...perClass));
}

function factsOf(row) {
  const facts = row.conditions ? CONDITIONS.map(([name, text]) => [name, String(text(row.conditions))]) : [];
  const abstentions = row.abstention_rate;
  if (abstentions) facts.push(["abstentions", `${percent(abstentions.value)} %`]);
  const parameters = Object.entries(row.hyper_parameters).map(([name, value]) => `${name} ${shortened(value)}`).join(", ");
  facts.push(["method", [row.method, parameters].filter(Boolean).join(": ")], ...row.facts);
  const trace = row.trace;
  if (trace.citation) facts.push(["Source", link(trace.url, `${trace.citation}, ${trace.place}`)]);
  facts.push(["JSON document", fileOf(trace.document)]);
  facts.push(["Log", trace.log ? fileOf(trace.log) : "none was kept"]);
  if (trace.audit) facts.push(["Report of the audit", fileOf(trace.audit)]);
  if (trace.weights_sha256) facts.push(["SHA-256 of the weights", code(trace.weights_sha256)]);
  return facts;
}

/** The name with a capital, except for a symbol such as n0. */
function capitalised(name) {
  return name.length > 2 ? name[0].toUpperCase() + name.slice(1) : name;
}

function shortened(value) {
  return typeof value === "number" ? +value.toPrecision(6) : value;
}

function fileOf(file) {
  const parts = element("span", {}, file.href ? link(file.href, file.name) : file.name, " ");
  if (file.url) parts.append(link(file.url, "as published"), " ");
  parts.append(code(file.sha256));
  return parts;
}

/** A link to a copy in this folder or to an https address; only the text for any other address. */
function link(address, text) {
  const isSafe = /^(https:\/\/|files\/[0-9a-f]{64}\.(json|tsv)$)/.test(address ?? "");
  return isSafe ? element("a", { href: address, rel: "noreferrer" }, text) : element("span", {}, text);
}

function code(text) {
  return element("code", {}, text);
}
