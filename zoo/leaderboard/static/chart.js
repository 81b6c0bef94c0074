// Draws certified accuracy over the radius: steps where the whole curve is known, points where only some radii are.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 44, RIGHT = 708, TOP = 12, BOTTOM = 300;
const NUM_STYLES = 8;

/** Draws the rows; `radius` is marked. */
function drawChart(svg, rows, radius) {
  const description = svg.querySelector("desc");
  description.textContent = rows.map((row) => chartText(row, radius)).join(" ");
  svg.replaceChildren(description);
  const most = Math.max(0.5, radius, ...rows.map(lastRadius));
  const step = [0.25, 0.5, 1, 2].find((size) => most / size <= 9) ?? most / 5;
  const end = Math.ceil((most * 1.02) / step) * step;
  const x = (value) => LEFT + ((RIGHT - LEFT) * value) / end, y = (share) => BOTTOM - (BOTTOM - TOP) * share;
  drawAxes(svg, x, y, step, end);
  add(svg, "line", { class: "chosen", x1: x(radius), x2: x(radius), y1: TOP, y2: BOTTOM });
  rows.forEach((row, at) => (row.curve ? drawSteps : drawPoints)(svg, row, styleOf(at), x, y, end));
}

function drawAxes(svg, x, y, step, end) {
  for (const share of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    add(svg, "line", { class: "grid", x1: LEFT, x2: RIGHT, y1: y(share), y2: y(share) });
    label(svg, LEFT - 6, y(share) + 4, percent(share, 0), "end");
  }
  for (let value = 0; value <= end + 1e-9; value += step) label(svg, x(value), BOTTOM + 20, +value.toFixed(2), "middle");
  label(svg, (LEFT + RIGHT) / 2, BOTTOM + 46, "l2 radius (pixels in [0, 1])", "middle");
  add(svg, "path", { class: "axis", d: `M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}` });
}

function drawSteps(svg, row, style, x, y, end) {
  let path = `M${x(0)} ${y(row.curve[0]?.[1] ?? 0).toFixed(2)}`;
  row.curve.forEach(([radius], at) => {
    path += `H${x(radius).toFixed(2)}V${y(row.curve[at + 1]?.[1] ?? 0).toFixed(2)}`;
  });
  add(svg, "path", { class: `curve ${style}`, d: `${path}H${x(end)}` });
}

function drawPoints(svg, row, style, x, y) {
  for (const [radius, share, low, high] of row.points) {
    if (low !== null) add(svg, "line", { class: `bar ${style}`, x1: x(radius), x2: x(radius), y1: y(low), y2: y(high) });
    add(svg, "circle", { class: `point ${style}`, cx: x(radius), cy: y(share), r: 4 });
  }
}

function lastRadius(row) {
  return (row.curve ?? row.points).at(-1)?.[0] ?? 0;
}

function styleOf(at) {
  return `style${at % NUM_STYLES}`;
}

function chartText(row, radius) {
  const accuracy = accuracyAt(row, radius);
  const value = accuracy === null ? "is not stated" : `is ${percent(accuracy.value)} %`;
  return `${row.name}: certified accuracy at radius ${radius} ${value}.`;
}

function label(svg, x, y, text, anchor) {
  add(svg, "text", { x, y, "text-anchor": anchor }).textContent = text;
}

function add(parent, name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.append(element);
  return element;
}
