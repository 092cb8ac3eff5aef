// Without this script the page is a plain form. With it: drag and drop, paste, preview, progress,
// several photos in a row, and no reload.
"use strict";

const TRIES = 5; // how often a busy server is asked again
const FORMULA = /^[=+\-@\t\r]/; // see summary.py: a spreadsheet would run what begins so

const form = document.getElementById("form");
const input = document.getElementById("photos");
const prior = document.getElementById("prior");
const results = document.getElementById("results");
const status = document.getElementById("status");
const maxBytes = Number(form.dataset.maxBytes);
const maxFiles = Number(form.dataset.maxFiles);
const shell = document.getElementById("summary-shell");
const queue = [];
let download = ""; // the address of the CSV file
let failures = 0;
let working = false;
let remark = ""; // on the last photos chosen, said with everything that follows

document.documentElement.classList.add("script");
input.required = false;

input.addEventListener("change", () => {
  take(input.files, "");
  input.value = ""; // the same file may be chosen again
});
form.addEventListener("submit", (event) => event.preventDefault());

document.addEventListener("paste", (event) => {
  event.preventDefault(); // there is no field for text here
  take(event.clipboardData.files, "There is no picture in the clipboard.");
});

let inside = 0; // entering a child fires before leaving its parent
document.addEventListener("dragenter", (event) => {
  if (event.dataTransfer.types.includes("Files")) {
    inside += 1;
    form.classList.add("over");
  }
});
document.addEventListener("dragleave", () => {
  inside = Math.max(0, inside - 1);
  if (!inside) form.classList.remove("over");
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  form.classList.remove("over");
  take(event.dataTransfer.files, "That is no file. Save the picture first, then drop it here.");
});

// A number in the picture chooses its face.
results.addEventListener("click", (event) => {
  const link = event.target.closest(".photo a");
  const chosen = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!chosen) return;
  event.preventDefault();
  const face = chosen.closest("details");
  face.open = true;
  face.scrollIntoView({ block: "nearest" });
});

for (const link of document.querySelectorAll(".gallery a")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const image = link.querySelector("img");
    enqueue({ name: image.alt, preview: image.src, url: `${link.pathname}?fragment&prior=${prior.value}` });
  });
}

function take(files, ifNone) {
  const photos = [...files];
  remark = "";
  if (!photos.length) return say(ifNone);
  if (photos.length > maxFiles) {
    remark = `Only the first ${maxFiles} of ${photos.length} photos are judged. `;
    photos.length = maxFiles;
  }
  for (const file of photos) {
    enqueue({ name: file.name || "pasted photo", preview: URL.createObjectURL(file), file });
  }
}

function enqueue(job) {
  job.card = pendingCard(job);
  job.prior = prior.value; // what is chosen while it waits is for the photos after it
  // The newest batch stands on top, in its own order.
  const last = queue.length ? queue[queue.length - 1].card : working;
  if (last) last.after(job.card);
  else results.prepend(job.card);
  queue.push(job);
  if (!working) work();
}

async function work() {
  const many = [];
  while (queue.length) {
    const job = queue.shift();
    working = job.card;
    say(many.length ? `${many.length} judged, ${queue.length + 1} to go.` : "Judging …");
    many.push(await judge(job));
  }
  working = false;
  say(many.length === 1 ? "" : `${many.length} photos judged.`);
  const summary = summarise();
  const first = many.length > 1 ? summary : many[0];
  if (first && first.isConnected) {
    first.scrollIntoView({ block: "start" }); // smoothly or not: see the sheet
    first.querySelector("h2").focus({ preventScroll: true });
  }
}

// One table of all answers on the page, on top of them; none for a single one.
function summarise() {
  const old = results.querySelector(".summary");
  if (old) old.remove();
  const cards = [...results.querySelectorAll(".answer[data-csv]")];
  if (cards.length < 2) return null;
  for (const part of results.querySelectorAll(".more:not(.folded)")) {
    part.open = false;
    part.classList.add("folded"); // once: what a reader opens stays open
  }
  const summary = shell.content.firstElementChild.cloneNode(true);
  const counts = new Map();
  for (const card of cards) {
    const { name, kind, says, pFake } = card.dataset;
    counts.set(kind, (counts.get(kind) || 0) + 1);
    const link = element("a", "", name);
    link.href = `#${card.id}`;
    const row = element("tr");
    row.append(element("td"), element("td", "", says), element("td", "", pFake));
    row.firstChild.append(link);
    summary.querySelector("tbody").append(row);
  }
  const counted = [...counts].map(([kind, number]) => `${number} ${kind}`).join(", ");
  summary.querySelector("h2").textContent = `${cards.length} photos: ${counted}`;
  const lines = [shell.dataset.columns, ...cards.map((card) => card.dataset.csv)];
  const file = new Blob(lines, { type: "text/csv" });
  URL.revokeObjectURL(download);
  download = URL.createObjectURL(file);
  summary.querySelector(".download").href = download;
  results.prepend(summary);
  return summary;
}

async function judge(job) {
  let shown;
  try {
    if (job.file && job.file.size > maxBytes) {
      throw new Error(`This file has more than ${maxBytes / 1e6} MB: scale the photo down.`);
    }
    const answer = await ask(job);
    shown = parsed(answer.text, answer.address);
  } catch (error) {
    shown = failedCard(job.name, error.message);
  }
  const cards = [...shown.children];
  job.card.replaceWith(...cards);
  if (job.file) URL.revokeObjectURL(job.preview);
  return cards[0];
}

async function ask(job) {
  for (let tries = 1; ; tries += 1) {
    const answer = await send(job);
    if (answer.status === 200) return answer;
    if (answer.status === 503 && tries < TRIES) {
      note(job, "The server is busy; trying again …");
      await new Promise((resolve) => setTimeout(resolve, 1000 * (answer.retryAfter || 2)));
      continue;
    }
    throw new Error(answer.message);
  }
}

function send(job) {
  return new Promise((resolve, reject) => {
    note(job, "Sending …");
    const request = new XMLHttpRequest(); // unlike fetch, it tells how far an upload is
    request.open(job.file ? "POST" : "GET", job.url || form.dataset.answer);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) job.bar.value = event.loaded / event.total;
    };
    request.upload.onload = () => {
      job.bar.removeAttribute("value");
      note(job, "Looking at the photo …");
    };
    request.onerror = () => reject(new Error(
      "The server does not answer, or the photo is not there any more. (A folder cannot be sent.)"));
    request.onload = () => resolve({
      status: request.status,
      text: request.responseText,
      address: request.responseURL,
      retryAfter: Number(request.getResponseHeader("Retry-After")),
      message: messageOf(request.responseText),
    });
    if (!job.file) return request.send();
    const data = new FormData();
    data.append("photos", job.file, job.name);
    data.append("prior", job.prior);
    request.send(data);
  });
}

function messageOf(text) {
  try {
    return JSON.parse(text).error.message;
  } catch {
    return "The server answered something that cannot be understood.";
  }
}

function pendingCard(job) {
  const card = element("article", "answer pending");
  const image = element("img");
  image.alt = "";
  image.src = job.preview;
  image.onerror = () => image.remove(); // a format that this browser cannot show
  const said = element("div", "head");
  job.text = element("p", "", "Waiting for its turn …");
  job.bar = element("progress");
  job.bar.setAttribute("aria-label", `Progress of ${job.name}`);
  said.append(element("p", "name", job.name), job.text, job.bar);
  const seen = element("div", "seen");
  seen.append(image);
  card.append(seen, said);
  return card;
}

function failedCard(name, message) {
  const around = element("div");
  const card = element("article", "answer failed");
  const title = element("h2", "", "No answer");
  title.tabIndex = -1;
  const quoted = [name, message].map((text) => {
    const shown = text.replace(FORMULA, "'$&");
    return `"${shown.replaceAll('"', '""')}"`;
  });
  const commas = ",".repeat(shell.dataset.columns.split(",").length - 1);
  card.id = `answer-failed-${(failures += 1)}`;
  Object.assign(card.dataset, {
    name, kind: "without an answer", says: "No answer", pFake: "", csv: quoted.join(commas) + "\n",
  });
  const reason = element("p", "", message);
  reason.setAttribute("role", "alert");
  card.append(element("p", "name", name), title, reason);
  around.append(card);
  return around;
}

function parsed(html, address) {
  const body = new DOMParser().parseFromString(html, "text/html").body;
  for (const link of body.querySelectorAll("a[href]")) {
    const to = link.getAttribute("href"); // relative to the answer, not to the page
    if (!to.startsWith("#")) link.setAttribute("href", new URL(to, address));
  }
  return body;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function note(job, text) {
  job.text.textContent = text;
}

function say(text) {
  status.textContent = remark + text;
}
