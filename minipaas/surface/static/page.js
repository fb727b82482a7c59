// What HTML cannot do alone: times in the reader's zone, running seconds, and a page that is refreshed without flicker.
"use strict";
(() => {
  const $ = (selector) => document.querySelectorAll(selector);
  const words = JSON.parse(document.querySelector("meta[name=words]")?.content || "{}");
  const language = document.documentElement.lang || "en";

  // Ages are told by the box's clock, which may be far from the reader's.
  let skew = 0;
  const readClock = () => {
    const foot = document.getElementById("foot");
    if (foot) skew = Number(foot.dataset.now) - Date.now() / 1000;
  };
  const now = () => Date.now() / 1000 + skew;

  // Lengths of time in the words of the catalogue, as the box writes them.
  const fill = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name]);
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const round = (seconds) => {
    const [unit, size] = UNITS.find(([, size]) => seconds >= size) || UNITS[3];
    return fill(words[unit], { [unit[0]]: Math.max(0, Math.floor(seconds / size)) });
  };
  const span = (seconds) => {
    const [h, m] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
    return h > 0 && h < 24 && m ? fill(words.h_min, { h, m }) : round(seconds);
  };
  const ago = (seconds) => fill(words.ago, { span: round(seconds) });
  const full = (date) => date.toLocaleString(language, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
  const put = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };
  const tellTimes = () => {
    for (const node of $("time[data-t]")) {
      const at = Number(node.dataset.t);
      const age = now() - at;
      const date = new Date(at * 1000);
      const old = age > 7 * 86400 || age < -60;
      put(node, age >= -60 && age < 5 ? words.just_now : old ? full(date) : ago(age));
      const title = date.toLocaleString(language, { dateStyle: "full", timeStyle: "long", hourCycle: "h23" });
      if (node.title !== title) node.title = title;
    }
    for (const node of $("time[data-date]")) put(node, full(new Date(Number(node.dataset.date) * 1000)));
    for (const node of $("time[data-day]"))
      put(node, new Date(Number(node.dataset.day) * 1000).toLocaleDateString(language, { dateStyle: "medium" }));
    for (const node of $("time[data-clock]")) {
      const date = new Date(Number(node.dataset.clock) * 1000);
      const today = date.toDateString() === new Date().toDateString();
      put(node, date.toLocaleString(language, { timeStyle: "short", hourCycle: "h23", ...(today ? {} : { dateStyle: "medium" }) }));
    }
    for (const node of $("time[data-tick]")) {
      const as = node.dataset.as === "clock" ? { timeStyle: "short" } : { month: "short", day: "numeric" };
      put(node, new Date(Number(node.dataset.tick) * 1000).toLocaleString(language, { hourCycle: "h23", ...as }));
    }
    for (const node of $("[data-since]")) put(node, span(now() - Number(node.dataset.since)));
  };

  // Whether somebody has filled this in, and not sent it yet.
  const touched = (node) => {
    if (node instanceof HTMLSelectElement) return [...node.options].some((one) => one.selected !== one.defaultSelected);
    if (node instanceof HTMLTextAreaElement) return node.value !== node.defaultValue;
    return node instanceof HTMLInputElement && (node.value !== node.defaultValue || node.checked !== node.defaultChecked);
  };

  // A refresh replaces text by what the server says; what was written here stays, and so does what was opened.
  if (window.Idiomorph) {
    const callbacks = window.Idiomorph.defaults.callbacks;
    callbacks.beforeNodeMorphed = (old, fresh) => {
      if (!(old instanceof Element) || !(fresh instanceof Element)) return true;
      const same = (key) => old.dataset[key] !== undefined && old.dataset[key] === fresh.dataset[key];
      if (touched(old)) return false;
      return !(same("t") || same("since") || same("date") || same("day") || same("clock") || same("tick"));
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
    node.hidden = !word;
    node.className = `live ${tone}`;
    put(node, word);
  };

  // What will happen is told in a dialog; without this script it is a page of its own.
  const dialog = document.getElementById("dialog");
  const main = document.getElementById("main");
  const announce = (text) => put(document.getElementById("announce"), text);
  // News come as server-sent events, and only to a page that somebody sees: a browser has six connections to a host, and
  // a page in the background needs none of them. It catches up when it is seen again.
  const PATIENCE = 20_000;
  const AGAIN = 5_000;
  let source;
  let last = main?.dataset.news;
  let resting;
  let behind = false;
  const news = () => document.body.dispatchEvent(new Event("news"));
  const rest = () => {
    source?.close();
    source = undefined;
  };

  // Whether the box can be reached. A browser drops what is under way whenever an interface of its machine comes or
  // goes, as one does with every container: only what lasts is said, and then also that it is over.
  const GRACE = 1500;
  let trouble;
  let away = false;
  const unreached = () => {
    trouble ??= setTimeout(() => {
      away = true;
      live(words.lost, "bad");
      announce(words.lost);
    }, GRACE);
  };
  const reached = () => {
    clearTimeout(trouble);
    trouble = undefined;
    const hears = source?.readyState === EventSource.OPEN;
    if (away || hears) live(hears ? words.live : "", "good");
    if (away) announce(words.back);
    away = false;
  };
  const listen = () => {
    if (source || last === undefined || document.hidden) return;
    source = new EventSource(`/api/v1/events?since=${last}`);
    source.addEventListener("open", () => {
      reached();
      if (behind) news();
      behind = false;
    });
    source.addEventListener("error", () => {
      unreached();
      if (source.readyState !== EventSource.CLOSED) return; // it comes back by itself
      rest();
      setTimeout(listen, AGAIN);
    });
    source.addEventListener("news", (event) => {
      last = event.lastEventId || last;
      news();
    });
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    const { elt } = event.detail;
    clearTimeout(losses.get(elt)?.timer);
    if (elt !== main || !document.hidden) return;
    event.preventDefault();
    behind = true;
  });

  // What only asks is asked again by itself; what changes something is left to the reader, who is told.
  const PAUSES = [100, 300, 900, 2700, 5000];
  const losses = new WeakMap(); // by element: how often in a row, and the next time
  const unsent = (elt) => {
    const node = document.createElement("div");
    node.className = "problem";
    node.setAttribute("role", "alert");
    put(node, words.unsent);
    elt.querySelector(":scope > .problem")?.remove();
    elt.prepend(node);
  };
  const lost = ({ detail: { elt, requestConfig } }) => {
    unreached();
    if (requestConfig.verb !== "get") return unsent(elt);
    const times = losses.get(elt)?.times || 0;
    if (times === PAUSES.length) {
      losses.delete(elt);
      behind ||= elt === main; // made up for when the news are heard again
      return;
    }
    const again = () => {
      if (elt.isConnected) window.htmx.ajax("GET", requestConfig.path, { source: elt, event: requestConfig.triggeringEvent }).catch(() => {});
    };
    losses.set(elt, { times: times + 1, timer: setTimeout(again, PAUSES[times]) });
  };
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:timeout", lost);
  document.addEventListener("htmx:afterRequest", ({ detail: { elt, xhr } }) => {
    if (!xhr.status) return;
    losses.delete(elt);
    reached();
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(resting);
    if (document.hidden) {
      resting = setTimeout(rest, PATIENCE);
      return;
    }
    listen();
    if (behind) news();
    behind = false;
  });
  listen();
  document.addEventListener("htmx:beforeSwap", (event) => {
    // A refresh that fails leaves what is there.
    if (event.detail.target === main && event.detail.xhr.status >= 400) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "dialog-body") return;
    const stays = dialog.open && dialog.contains(document.activeElement) && document.activeElement !== dialog;
    if (!dialog.open) dialog.showModal();
    if (!stays) dialog.querySelector("#confirm-name, .go, a")?.focus();
  });
  document.addEventListener("begun", (event) => {
    dialog.close();
    announce(words.begun);
    for (const input of $(".scale input[type=number]")) input.value = input.defaultValue;
    location.hash = `change-${event.detail.change}`;
  });
  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close]");
    if (close && dialog.open) {
      event.preventDefault();
      dialog.close();
    }
    const step = event.target.closest("[data-step]");
    if (step) step.dataset.step > 0 ? step.parentElement.elements.replicas.stepUp() : step.parentElement.elements.replicas.stepDown();
  });
  document.documentElement.classList.add("script");

  // Finding an app hides the rows of others by a rule, so that it holds for rows that come with the news too.
  const finding = new CSSStyleSheet();
  document.adoptedStyleSheets.push(finding);
  document.addEventListener("input", (event) => {
    if (event.target.id !== "find") return;
    const name = event.target.value.toLowerCase().replace(/[^a-z0-9-]/g, "");
    finding.replaceSync(name ? `.row:not([data-app*="${name}"]) { display: none; }` : "");
  });
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
