// Showing an answer, while it grows and when it is there.

import { drawChart } from "./chart.js";

const $ = (id) => document.getElementById(id);
let points = [];

/** As before the first question. */
export function showNothing() {
  for (const id of ["error", "answer"]) $(id).hidden = true;
  $("empty").hidden = false;
}

export function showWaiting() {
  points = [];
  for (const id of ["error", "empty", "growth", "votes", "copies", "whole", "figures", "meaning"]) $(id).hidden = true;
  $("answer").hidden = false;
  $("status").textContent = "Drawing noise…";
  $("result").scrollIntoView({ block: "nearest" });
}

export function showError(message) {
  $("error").textContent = message;
  $("error").hidden = false;
  $("empty").hidden = true;
  $("answer").hidden = points.length === 0;
  $("status").textContent = points.length ? "What had been certified before holds." : "";
}

export function showStopped() {
  $("answer").hidden = points.length === 0;
  $("empty").hidden = points.length > 0;
  $("status").textContent = "Stopped. What is certified so far holds.";
}

/** Shows one answer, or one update of a stream, whose last one is `final`. */
export function showAnswer(told) {
  const isDone = told.final !== false;
  $("status").textContent = isDone ? inShort(told) : "Drawing noise…";
  showFigures(told, isDone);
  if (told.certificate && told.certificate.stopping !== "fixed") showGrowth(told.certificate, isDone);
  if (told.votes) showVotes(told);
  if (isDone) {
    showCopies(told.copies ?? []);
    $("json").textContent = JSON.stringify({ ...told, copies: undefined }, null, 2);
    $("whole").hidden = false;
  }
}

/** What a screen reader announces at the end. */
function inShort({ abstained, certificate, class_name }) {
  if (abstained) return "Done: abstained.";
  return certificate ? `Done: ${class_name}, radius ${figure(certificate.radius)}.` : `Done: ${class_name}.`;
}

function showFigures(told, isDone) {
  const { certificate, votes } = told;
  $("figures").hidden = $("meaning").hidden = false;
  $("label").textContent = told.abstained ? (isDone ? "abstained" : "not yet") : told.class_name;
  $("radius-figure").hidden = !certificate;
  if (certificate) $("certified").textContent = figure(certificate.radius);
  $("draws").textContent = (certificate ?? votes).n.toLocaleString("en");
  $("meaning").textContent = meaning(told, isDone);
}

function meaning({ abstained, certificate, votes, class_name }, isDone) {
  const alpha = (certificate ?? votes).alpha;
  if (abstained && !isDone) return "Not enough draws agree yet to certify anything.";
  if (abstained) return abstention(certificate, votes);
  if (!certificate) {
    return `Most noisy copies were taken for “${class_name}”; that another class is named more often in truth ` +
      `has a chance of at most ${percent(alpha)}. Nothing is said about changed pixels: ask for a certified radius.`;
  }
  return "However the pixels that the network is given are changed, as long as the change is shorter than " +
    `${figure(certificate.radius)} (l2 norm, pixels from 0 to 1), the smoothed classifier still answers ` +
    `“${class_name}”. The chance that this is wrong is at most ${percent(alpha)}. It says that the answer is ` +
    "stable, not that it is right.";
}

function abstention(certificate, votes) {
  const isResult = "The classifier abstains rather than guess; that is a result, not an error.";
  if (votes) return `No class was named clearly more often than another. ${isResult} More draws may decide.`;
  if (certificate.stopping === "at-radius") {
    return `The draws do not show that radius ${figure(certificate.radius_asked)} holds: too few noisy copies were ` +
      `taken for one class. ${isResult} A smaller radius, or more draws, may be certified.`;
  }
  return `No class was named by clearly more than half of the noisy copies. ${isResult} More draws, or a clearer ` +
    "picture, may decide.";
}

/** The radius over the draws; where one radius is decided, the share of draws for the class, and the share needed. */
function showGrowth(certificate, isDone) {
  const decides = certificate.radius_asked != null;
  const { n, count_a, radius } = certificate;
  if (n > 0) points.push([n, decides ? count_a / n : radius]);
  if (points.length === 0) return;
  $("growth").hidden = false;
  $("growth-title").textContent = decides ? "Share of draws that name the class" : "Certified radius";
  const now = decides ? percent(points.at(-1)[1]) : figure(radius);
  const text = `${now} after ${n.toLocaleString("en")} draws${isDone ? "" : " so far"}.`;
  const share = decides ? normalCdf(certificate.radius_asked / certificate.sigma) : 0;
  const needed = decides ? { value: share, name: `needed for radius ${figure(certificate.radius_asked)}` } : undefined;
  drawChart($("chart"), { points, top: decides ? 0.99 : certificate.sigma, needed, text });
}

function showVotes({ votes, class_name, label }) {
  const rows = votes.top.map(([index, count]) => {
    const row = document.createElement("tr");
    const meter = Object.assign(document.createElement("meter"), { max: votes.n, value: count });
    meter.ariaLabel = `${count} of ${votes.n}`;
    const name = index === label ? class_name : `class ${index}`;
    for (const content of [name, meter, count]) row.insertCell().append(content);
    return row;
  });
  $("vote-rows").replaceChildren(...rows);
  $("votes").hidden = false;
}

function showCopies(copies) {
  const items = copies.map((png, index) => {
    const picture = Object.assign(new Image(), {
      src: `data:image/png;base64,${png}`,
      alt: `Noisy copy ${index + 1} of ${copies.length}`,
      className: "pixels",
    });
    const item = document.createElement("li");
    item.append(picture);
    return item;
  });
  $("copy-list").replaceChildren(...items);
  $("copies").hidden = copies.length === 0;
}

/** At most three decimals, rounded down: a radius must not look larger than it is. */
function figure(value) {
  return String(Math.floor(value * 1000 + 1e-9) / 1000);
}

function percent(share) {
  return `${+(share * 100).toPrecision(3)} %`;
}

/** Abramowitz and Stegun 7.1.26: right to 1.5e-7, which a chart does not show. */
function normalCdf(z) {
  const x = Math.abs(z) / Math.SQRT2, t = 1 / (1 + 0.3275911 * x);
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = poly * Math.exp(-x * x) / 2;
  return z < 0 ? tail : 1 - tail;
}
