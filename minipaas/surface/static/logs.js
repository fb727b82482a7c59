// What an app writes, live: new lines come over a WebSocket and are put at the end, from where the page ends on. Whoever
// scrolls up is left where they are. When the connection breaks off, it goes on where it was, without a gap or a double.
"use strict";

// Dates and times in the form: shown in the reader's zone, sent as Unix seconds. The box writes them in UTC.
(() => {
  const form = document.querySelector("form.filter");
  form.querySelector(".utc").hidden = true;
  const span = form.elements.span;
  const times = [form.elements.since, form.elements.until];
  const two = (number) => String(number).padStart(2, "0");
  for (const field of times) {
    const date = new Date(`${field.value}Z`);
    if (Number.isNaN(date.getTime())) continue;
    const day = `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    field.value = field.defaultValue = `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  }
  form.addEventListener("formdata", ({ formData }) => {
    for (const { name, value } of times) if (value) formData.set(name, String(new Date(value).getTime() / 1000));
    for (const [name, value] of [...formData]) if (!value) formData.delete(name); // a short address
  });
  // Both would say when it begins; the last word counts.
  span.addEventListener("change", () => {
    if (span.value) form.elements.since.value = "";
  });
  form.elements.since.addEventListener("change", () => {
    if (form.elements.since.value) span.value = "";
  });
  form.elements.app?.addEventListener("change", () => {
    form.elements.service.value = form.elements.instance.value = ""; // those of the other app
  });
})();

(() => {
  const lines = document.getElementById("lines");
  const button = document.getElementById("follow");
  if (!lines) return;
  const MOST = 5000; // lines kept on the page
  const AGAIN = [500, 1000, 2000, 5000];
  const language = document.documentElement.lang || undefined;
  const words = JSON.parse(document.querySelector("meta[name=words]")?.content || "{}");
  const live = document.getElementById("live");
  lines.scrollTop = lines.scrollHeight;
  if (!button || !lines.dataset.ends) return;

  const state = { ends: JSON.parse(lines.dataset.ends), since: Date.now() / 1000 - 86400, socket: undefined, tries: 0, on: true };
  const foot = document.getElementById("foot");
  if (foot) state.since = Number(foot.dataset.now) - 1; // by the box's clock

  const when = (seconds) => {
    const date = new Date(seconds * 1000);
    const time = document.createElement("time");
    time.dateTime = date.toISOString();
    time.dataset.date = seconds;
    time.textContent = date.toLocaleString(language, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
    return time;
  };
  const part = (kind, text) => {
    const node = document.createElement("span");
    node.className = kind;
    node.textContent = text;
    return node;
  };
  const row = (line) => {
    const node = document.createElement("p");
    node.className = `line ${line.stream}${line.level ? ` level-${line.level}` : ""}`;
    node.id = `line-${line.id}`;
    const text = line.stream === "minipaas" ? `${lines.dataset.missing} ${line.text}` : line.text;
    node.append(when(line.time), " ", part("from", line.instance), " ", part("text", text));
    return node;
  };
  const add = (found) => {
    if (!found.length) return;
    document.getElementById("no-lines")?.remove();
    const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
    const fresh = found.filter((line) => !document.getElementById(`line-${line.id}`)).map(row);
    lines.append(...fresh);
    while (lines.childElementCount > MOST) lines.firstElementChild.remove();
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  };

  const told = (word, tone) => {
    if (!live) return;
    live.hidden = !word;
    live.className = `live ${tone}`;
    live.textContent = word || "";
  };
  const open = () => {
    if (state.socket || !state.on || document.hidden) return;
    const given = new URLSearchParams(location.search);
    const query = new URLSearchParams();
    for (const name of ["service", "instance", "release", "stream", "level", "text"])
      if (given.get(name)) query.set(name, given.get(name));
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/apps/${lines.dataset.app}/logs/live?${query}`);
    state.socket = socket;
    socket.addEventListener("open", () => {
      socket.send(JSON.stringify({ since: state.since, ends: state.ends }));
      told(words.live, "good");
    });
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      if (message.type !== "lines") return;
      state.tries = 0;
      state.ends = message.ends;
      add(message.lines);
    });
    socket.addEventListener("close", () => {
      if (state.socket !== socket) return;
      state.socket = undefined;
      if (!state.on || document.hidden) return;
      if (state.tries > 1) told(words.lost, "bad"); // one that comes back at once is no news
      setTimeout(open, AGAIN[Math.min(state.tries, AGAIN.length - 1)]);
      state.tries += 1;
    });
  };
  const rest = () => {
    const socket = state.socket;
    state.socket = undefined;
    socket?.close();
  };
  const show = () => {
    button.setAttribute("aria-pressed", String(state.on));
    button.textContent = state.on ? button.dataset.on : button.dataset.off;
    if (!state.on) told("", "");
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    state.on = !state.on;
    show();
    if (state.on) open();
    else rest();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : open()));
  show();
  open();
})();
