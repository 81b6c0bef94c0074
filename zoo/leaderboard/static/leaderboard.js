// Ties the data, the controls, the table, the chart and the address together.

const ROWS = JSON.parse(document.getElementById("data").textContent);
const MOST_PRESELECTED = 3;
const RADII = [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 3.5];
const byId = (id) => document.getElementById(id);
const parts = new Map(ROWS.map((row) => [row, tableRow(row, { onSelect, onDetails })]));
const known = new Map(ROWS.map((row) => [row.id, row]));
let state = readState(location.hash);
let groups = [];

function radius() {
  return Math.max(0, Number(state.radius) || 0);
}

function selected() {
  if (state.select !== null) return state.select.filter((id) => known.has(id)).map((id) => known.get(id));
  return (groups[0] ?? []).filter((row) => row.conditions !== null).slice(0, MOST_PRESELECTED);
}

/** Puts the rows that pass the filters into the table, comparable ones together, in the order of the sort. */
function fillTable() {
  const shown = sorted(ROWS.filter((row) => isShown(row, state, radius())), state.sort, radius());
  groups = state.group === "yes" ? orderedGroups(shown) : [shown].filter((rows) => rows.length);
  byId("table").className = state.group === "yes" ? "grouped" : "";
  byId("table").querySelectorAll("tbody").forEach((body) => body.remove());
  byId("table").append(...groups.map(tableBody));
  byId("count").textContent = `${shown.length} of ${ROWS.length} rows`;
  showDifferences(byId("mixed"), state.group === "yes" ? [] : shown, "The rows of this table differ in");
}

function orderedGroups(rows) {
  const grouped = Map.groupBy(rows, groupOf), isOfConditions = /^-?(task|threat|n|alpha)$/.test(state.sort);
  const effort = ([first]) => (first.conditions?.num_images ?? 0) * (first.conditions?.n ?? 0);
  const lists = [...grouped.values()];
  return isOfConditions ? lists : lists.sort((a, b) => effort(b) - effort(a));
}

function tableBody(rows) {
  const body = element("tbody", {}, ...(state.group === "yes" ? [groupHeading(rows)] : []));
  for (const row of rows) {
    const part = parts.get(row);
    fillAccuracy(row, part);
    body.append(part.line, ...(part.details ? [part.details] : []));
  }
  return body;
}

/** Writes the certified accuracy at the chosen radius, if the cell has that of another radius. */
function fillAccuracy(row, part) {
  if (part.radius === radius()) return;
  part.radius = radius();
  labelled(`Certified at ${part.radius} (%)`, part.accuracy);
  fillValue(part.accuracy, accuracyAt(row, part.radius), (value) => percent(value));
  fillClasses(row, part);
}

/** Draws the classes in the open details of a row at the chosen radius. */
function fillClasses(row, part) {
  part.details?.querySelector(".per-class")?.replaceChildren(...classBars(row, radius()));
}

/** Says in which conditions rows differ, or hides the note. */
function showDifferences(note, rows, start) {
  const found = differences(rows);
  note.hidden = found.length === 0;
  const items = found.map(([name, values]) => element("li", {}, element("strong", {}, name), `: ${values.join("; ")}`));
  note.replaceChildren(...(found.length ? [`${start} the following. They do not compare like with like.`, element("ul", {}, ...items)] : []));
}

function showSelected() {
  const rows = selected();
  for (const [row, part] of parts) part.box.checked = rows.includes(row);
  byId("chart-part").hidden = rows.length === 0;
  byId("none").hidden = rows.length > 0;
  drawChart(byId("chart"), rows, radius());
  byId("legend").replaceChildren(...rows.map(legendItem));
  showDifferences(byId("differs"), rows, "The selected models differ in");
  fillValues(rows);
}

function legendItem(row, at) {
  const remove = element("button", { type: "button", ariaLabel: `Remove ${row.name} from the chart` }, "×");
  remove.addEventListener("click", () => onSelect(row, false));
  const sample = add(element("span"), "svg", { class: "sample", viewBox: "0 0 36 10", "aria-hidden": "true" });
  add(sample, "path", { class: `curve ${styleOf(at)}`, d: "M1 5H35" });
  const status = element("span", { className: "under" }, `${STATUS[row.status]}, sigma ${row.sigma ?? NOT_STATED}`);
  return element("li", {}, sample, element("span", {}, row.name, status), remove);
}

/** The chart's numbers as a table. */
function fillValues(rows) {
  const last = Math.max(0, ...rows.map(lastRadius)), radii = RADII.filter((value) => value <= last + 1e-9);
  const head = element("tr", {}, element("th", { scope: "col" }, "Model"), ...radii.map((value) => element("th", { scope: "col", className: "number" }, String(value))));
  const lines = rows.map((row) => element("tr", {}, element("th", { scope: "row" }, row.name), ...radii.map((value) => {
    const accuracy = accuracyAt(row, value);
    return element("td", { className: "number" }, accuracy ? percent(accuracy.value) : "–");
  })));
  byId("values").replaceChildren(element("thead", {}, head), element("tbody", {}, ...lines));
}

function onSelect(row, isSelected) {
  const others = selected().filter((other) => other !== row);
  change({ select: [...others, ...(isSelected ? [row] : [])].map((chosen) => chosen.id) });
}

function onDetails(row) {
  const part = parts.get(row);
  if (part.details) part.details.remove();
  part.details = part.details ? null : detailsRow(row);
  if (part.details) part.line.after(part.details);
  fillClasses(row, part);
  part.button.ariaExpanded = String(part.details !== null);
}

function change(values) {
  state = { ...state, ...values };
  history.replaceState(null, "", writeState(state));
  show();
}

function show() {
  for (const control of byId("filters").elements) {
    if (control.name && control.value !== state[control.name]) control.value = state[control.name];
  }
  byId("grouped").checked = state.group === "yes";
  byId("at").textContent = `Certified at ${radius()} (%)`;
  for (const button of document.querySelectorAll("thead button")) showSort(button);
  fillTable();
  showSelected();
}

function showSort(button) {
  const key = button.dataset.sort, isSorted = state.sort.replace("-", "") === key;
  const direction = state.sort.startsWith("-") ? "descending" : "ascending";
  button.closest("th").ariaSort = isSorted ? direction : "none";
}

function listen() {
  byId("filters").addEventListener("input", ({ target }) => target.name && change({ [target.name]: target.value }));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => change({ ...DEFAULTS }));
  byId("clear").addEventListener("click", () => change({ select: [] }));
  byId("grouped").addEventListener("change", ({ target }) => change({ group: target.checked ? "yes" : "no" }));
  for (const button of document.querySelectorAll("thead button")) {
    const key = button.dataset.sort, first = ["name", "method", "status"].includes(key) ? key : `-${key}`;
    button.addEventListener("click", () => change({ sort: state.sort !== first ? first : first === key ? `-${key}` : key }));
  }
  addEventListener("hashchange", () => { state = readState(location.hash); show(); });
}

function fillFilters() {
  const size = (text) => (SIZES.findIndex(([, name]) => name === text) + 1) || parseFloat(text.replaceAll(",", ""));
  const order = (a, b) => size(a) - size(b) || BY_NAME.compare(a, b);
  for (const [name, valueOf] of Object.entries(FILTERS)) {
    const values = [...new Set(ROWS.map(valueOf))].sort(order);
    byId("filters").elements[name].append(...values.map((value) => element("option", { value }, value)));
  }
}

fillFilters();
listen();
show();
