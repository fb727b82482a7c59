// What HTML cannot do alone: times in the reader's zone, running seconds, and a page that is refreshed without flicker.
"use strict";
(() => {
  const $ = (selector) => document.querySelectorAll(selector);

  // Ages are told by the box's clock, which may be far from the reader's.
  let skew = 0;
  const readClock = () => {
    const foot = document.getElementById("foot");
    if (foot) skew = Number(foot.dataset.now) - Date.now() / 1000;
  };
  const now = () => Date.now() / 1000 + skew;

  const span = (seconds) => {
    const s = Math.max(0, seconds);
    if (s < 60) return `${Math.floor(s)} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
    return `${Math.floor(s / 86400)} d`;
  };
  const put = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };
  const tellTimes = () => {
    for (const node of $("time[data-t]")) {
      const at = Number(node.dataset.t);
      const age = now() - at;
      const date = new Date(at * 1000);
      const old = age > 7 * 86400 || age < -60;
      put(node, age >= -60 && age < 5 ? "just now" : old ? date.toLocaleString() : `${span(age)} ago`);
      const title = date.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
      if (node.title !== title) node.title = title;
    }
    for (const node of $("time[data-date]")) put(node, new Date(Number(node.dataset.date) * 1000).toLocaleString());
    for (const node of $("[data-since]")) put(node, span(now() - Number(node.dataset.since)));
  };

  // A refresh replaces text by what the server says; what was written here stays, and so does what was opened.
  if (window.Idiomorph) {
    const callbacks = window.Idiomorph.defaults.callbacks;
    callbacks.beforeNodeMorphed = (old, fresh) => {
      if (!(old instanceof Element) || !(fresh instanceof Element)) return true;
      const same = (key) => old.dataset[key] !== undefined && old.dataset[key] === fresh.dataset[key];
      return !(same("t") || same("since") || same("date"));
    };
    callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");
  }

  const openTarget = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  };

  const live = (word, tone) => {
    const node = document.getElementById("live");
    if (!node) return;
    node.hidden = false;
    node.className = `live ${tone}`;
    put(node, word);
  };

  document.addEventListener("htmx:sseOpen", () => live("live", "good"));
  document.addEventListener("htmx:sseError", () => live("box does not answer", "bad"));
  document.addEventListener("htmx:afterSwap", () => {
    readClock();
    tellTimes();
  });
  window.addEventListener("hashchange", openTarget);
  readClock();
  tellTimes();
  openTarget();
  setInterval(() => {
    if (!document.hidden) tellTimes();
  }, 1000);
  document.addEventListener("visibilitychange", tellTimes);
})();
