// Asking the model's server, through the relay of the page's own.

/** What went wrong, as a sentence for the reader. */
export class AskingError extends Error {}

/** The server's answers to one question, as they come: one for a plain answer, several for a stream. */
export async function* ask(model, form, signal) {
  const response = await reach(() =>
    fetch(`predictions/${encodeURIComponent(model)}`, { method: "POST", body: form, signal }), signal);
  const isStream = (response.headers.get("Content-Type") ?? "").startsWith("application/x-ndjson");
  if (!response.ok || !isStream) {
    yield read(await reach(() => response.text(), signal), response.status);
    return;
  }
  let isFinal = false;
  for await (const line of lines(response.body, signal)) {
    const update = read(line, response.status);
    isFinal = update.final;
    yield update;
  }
  if (!isFinal) throw new AskingError("The connection to the server broke off. Ask again.");
}

async function* lines(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reach(() => reader.read(), signal);
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const line of parts) if (line.trim()) yield line;
    }
    if (rest.trim()) yield rest;
  } finally {
    reader.cancel().catch(() => {});  // it has failed already, or been stopped
  }
}

/** The object in a text. An error of the server stands in its body, whatever the status says. */
function read(text, status) {
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    throw new AskingError(`The server answered ${status} with something else than an answer.`);
  }
  if (told.code !== undefined) throw new AskingError(sentence(told.message ?? `the server answered ${told.code}`));
  return told;
}

async function reach(action, signal) {
  try {
    return await action();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new AskingError("The connection to the server broke off. Ask again.");
  }
}

function sentence(text) {
  const trimmed = String(text).trim();
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?]$/.test(trimmed) ? "" : ".");
}
