// What the visitor chooses, and what it leads to.

import { ask, AskingError } from "./asking.js";
import { showAnswer, showError, showNothing, showWaiting, showStopped } from "./answer.js";

const COPIES = 6;
const SMALL = 96;  // below this many pixels a side, blurring would hide what the network sees
const $ = (id) => document.getElementById(id);

let image = null;
let running = null;

async function start() {
  $("file").addEventListener("change", () => choose($("file").files[0]));
  $("form").addEventListener("change", showChoices);
  $("form").addEventListener("submit", submit);
  $("stop").addEventListener("click", () => running?.abort());
  acceptDrops($("drop"));
  if ($("file").files[0]) choose($("file").files[0]);  // a reloaded page keeps its file
  showChoices();
  try {
    await offerModels();
  } catch {
    showError("The models could not be listed: is the server still there? Load the page again.");
  }
}

async function offerModels() {
  const models = await (await fetch("models")).json();
  $("model").replaceChildren(...models.map((name) => new Option(name, name)));
  $("model-field").hidden = models.length < 2;
  showWhetherToAsk();
}

function acceptDrops(place) {
  for (const name of ["dragenter", "dragover"]) {
    place.addEventListener(name, (event) => { event.preventDefault(); place.classList.add("over"); });
  }
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    choose(event.dataTransfer.files[0]);
  });
  // A picture dropped beside the place must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
}

function choose(file) {
  if (!file || running) return;
  image = file;
  URL.revokeObjectURL($("preview").src);
  $("preview").onload = ({ target }) => target.classList.toggle("pixels", target.naturalWidth < SMALL);
  $("preview").onerror = ({ target }) => {  // the server may read it nevertheless
    target.hidden = true;
    $("prompt").hidden = false;
    $("prompt").textContent = `${file.name} (no preview)`;
  };
  $("preview").src = URL.createObjectURL(file);
  $("preview").alt = `The chosen image, ${file.name}`;
  $("preview").hidden = false;
  $("prompt").hidden = true;
  showWhetherToAsk();
  showNothing();
}

function showChoices() {
  const certifies = chosenMode() === "certify";
  $("certify-only").hidden = !certifies;
  $("radius-field").hidden = $("stopping").value !== "at-radius";
  $("n-name").textContent = $("stopping").value === "fixed" ? "Draws" : "Draws at most";
  for (const input of $("certify-only").querySelectorAll("input, select")) {
    input.disabled = !certifies || input.closest("[hidden]") !== null;  // what is not shown is not checked
  }
}

function chosenMode() {
  return new FormData($("form")).get("mode");
}

/** The form of the question, as the server wants it. */
function question() {
  const form = new FormData();
  form.set("data", image);
  form.set("mode", chosenMode());
  form.set("copies", COPIES);
  if (chosenMode() === "predict") return form;
  const stopping = $("stopping").value;
  form.set("stopping", stopping);
  form.set("n", $("n").value);
  if (stopping === "at-radius") form.set("radius", $("radius").value);
  if (stopping !== "fixed") form.set("stream", "true");
  return form;
}

async function submit(event) {
  event.preventDefault();
  if (!image || running) return;
  running = new AbortController();
  setBusy(true);
  showWaiting();
  try {
    for await (const told of ask($("model").value, question(), running.signal)) showAnswer(told);
  } catch (error) {
    if (running.signal.aborted) showStopped();
    else if (error instanceof AskingError) showError(error.message);
    else throw error;
  } finally {
    running = null;
    setBusy(false);
  }
}

/** A question needs an image and a model, and one is asked at a time. */
function showWhetherToAsk() {
  $("ask").disabled = !image || !$("model").value || running !== null;
}

function setBusy(busy) {
  const focused = document.activeElement;
  $("file").disabled = busy;
  showWhetherToAsk();
  $("stop").hidden = !busy;
  $("result").setAttribute("aria-busy", busy);
  // The button that had the keyboard's focus can no longer have it.
  if (busy && focused === $("ask")) $("stop").focus();
  if (!busy && focused === $("stop")) $("ask").focus();
}

start();
