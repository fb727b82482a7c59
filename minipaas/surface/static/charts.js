// Charts of an app or of the box: `charts.html` says what to draw, the metrics API has the numbers, uPlot draws.
// uPlot comes only when a chart is about to be seen; while nobody looks at the page nothing is asked for.
"use strict";
(() => {
  const section = document.querySelector("[data-charts]");
  if (!section) return;
  const words = section.dataset;
  const locale = document.documentElement.lang || undefined;
  const EVERY = { "1h": 10_000, "24h": 60_000, "30d": 300_000 };
  const ROWS = 12;
  const LEAST = 6;
  const TRIES = 4;
  const PATIENCE = 15_000;
  const HEIGHT = 150;
  const COLOURS = 4;
  const KEPT = "minipaas-charts";

  // --- numbers in words

  const number = (value, digits) => value.toLocaleString(locale, { maximumFractionDigits: digits });
  const rounded = (value) => number(value, Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0);
  const bytes = (value) => {
    let left = value;
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (Math.abs(left) < 1024) return `${rounded(left)} ${unit}`;
      left /= 1024;
    }
    return `${rounded(left)} TiB`;
  };
  const UNITS = {
    share: { tell: (value) => `${rounded(value * 100)} %`, least: 0.02 },
    bytes: { tell: bytes, least: 2 ** 20, binary: true },
    byterate: { tell: (value) => `${bytes(value)}/s`, least: 1024, binary: true },
    rate: { tell: (value) => `${rounded(value)}/s`, least: 0.5 },
    time: { tell: (value) => (value < 1000 ? `${rounded(value)} ms` : `${rounded(value / 1000)} s`), least: 10 },
  };
  const BINARY = Array.from({ length: 48 }, (_, power) => 2 ** power);

  // --- what to draw: from an answer of the API to one list of lines a chart

  const combine = (all, how) => {
    const lines = all.filter(Boolean);
    if (!lines.length) return [];
    return lines[0].map((_, at) => {
      const known = lines.map((line) => line[at]).filter((value) => value !== null && value !== undefined);
      return known.length ? known.reduce(how) : null;
    });
  };
  const sum = (lines) => combine(lines, (a, b) => a + b);
  const most = (lines) => combine(lines, (a, b) => Math.max(a, b));
  const perService = (answer, key) => {
    const names = [...new Set(answer.instances.map((one) => one.service))];
    return names.map((name) => [name, sum(answer.instances.filter((one) => one.service === name).map((one) => one[key]))]);
  };
  const perRoute = (answer, key, how) => how(answer.routes.map((one) => one[key]));
  const CHARTS = {
    cpu: ["share", (answer) => (answer.instances ? perService(answer, "cpu") : [[words.wordCpu, answer.cpu]])],
    memory: ["bytes", (answer) => (answer.instances ? perService(answer, "memory") : [[words.wordMemory, answer.memory]])],
    disk: ["bytes", (answer) => [[words.wordDisk, answer.disk]]],
    network: ["byterate", (answer) => [
      [words.wordReceived, answer.received],
      [words.wordSent, answer.sent],
    ]],
    requests: ["rate", (answer) => [
      [words.wordRequests, perRoute(answer, "requests", sum)],
      ["4xx", perRoute(answer, "answers_4xx", sum)],
      ["5xx", perRoute(answer, "answers_5xx", sum)],
    ]],
    latency: ["time", (answer) => [
      ["p50", perRoute(answer, "p50", most)],
      ["p90", perRoute(answer, "p90", most)],
      ["p99", perRoute(answer, "p99", most)],
    ]],
  };

  // --- time

  const HOURS = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const DAY = { day: "numeric", month: "short" };
  const clock = new Intl.DateTimeFormat(locale, HOURS);
  const day = new Intl.DateTimeFormat(locale, DAY);
  const whole = new Intl.DateTimeFormat(locale, { ...DAY, ...HOURS });
  const ticks = (_, splits, __, ___, step) => splits.map((at) => (step >= 86400 ? day : clock).format(at * 1000));

  // --- one figure

  const colour = (name) => getComputedStyle(section).getPropertyValue(name).trim();
  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.plot = figure.querySelector(".plot");
      this.now = figure.querySelector(".now");
      this.details = figure.querySelector("details");
      [this.unit, this.lines] = CHARTS[figure.dataset.chart];
      this.unit = UNITS[this.unit];
      this.details.addEventListener("toggle", () => this.table());
      new ResizeObserver(() => this.fit()).observe(this.plot);
    }

    // `from`: the first step of which anything is known; nothing before it is drawn.
    show(answer, from) {
      const lines = this.lines(answer).filter(([, values]) => values && values.length);
      const length = lines.length ? lines[0][1].length : 0;
      const times = Array.from({ length }, (_, at) => answer.start + at * answer.step);
      this.names = lines.map(([name]) => name);
      this.data = [times.slice(from), ...lines.map(([, values]) => values.slice(from))];
      this.step = answer.step;
      const known = Math.max(0, ...this.data.slice(1).map((values) => values.filter((value) => value !== null).length));
      this.few = known < 3;
      this.figure.classList.toggle("empty", !known);
      this.tell(null);
      if (known) this.draw();
      this.table();
    }

    // Instead of figures: when there will be some.
    soon(text) {
      if (this.figure.classList.contains("empty")) this.now.textContent = text;
    }

    // Beside the title: every line with its colour and its value, the last one or the one under the pointer.
    tell(at) {
      const parts = this.names.map((name, line) => {
        const values = this.data[line + 1];
        const last = values.findLast((value) => value !== null);
        const value = at === null ? last : values[at];
        const node = document.createElement("span");
        node.className = `line-${(line % COLOURS) + 1}`;
        node.textContent = this.names.length > 1 || this.figure.dataset.named ? `${name} ${this.word(value)}` : this.word(value);
        return node;
      });
      if (at !== null) parts.unshift((this.step < 60 ? clock : whole).format(this.data[0][at] * 1000));
      this.now.replaceChildren(...(this.figure.classList.contains("empty") ? [words.wordNone] : parts));
    }

    word(value) {
      return value === null || value === undefined ? "–" : this.unit.tell(value);
    }

    draw() {
      const shape = [this.few, ...this.names].join("\n");
      if (this.chart && this.shape === shape) {
        this.chart.setData(this.data);
        return;
      }
      if (this.chart) this.chart.destroy();
      this.shape = shape;
      this.chart = new window.uPlot(this.options(), this.data, this.plot);
    }

    options() {
      const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
      const font = `12px ${getComputedStyle(section).fontFamily}`;
      return {
        width: Math.max(this.plot.clientWidth, 120),
        height: HEIGHT,
        padding: [8, 20, 0, 0],
        cursor: { sync: { key: "charts" }, drag: { setScale: false, x: false, y: false }, points: { size: 6 }, y: false },
        legend: { show: false },
        hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx ?? null)] },
        scales: { y: { range: (_, low, high) => [0, Math.max((high || 0) * 1.1, this.unit.least)] } },
        axes: [
          { ...axis, font, values: ticks, space: 60, size: 28 },
          {
            ...axis,
            font,
            size: 72,
            space: 26,
            values: (_, splits) => splits.map((value) => this.word(value)),
            ...(this.unit.binary ? { incrs: BINARY } : {}),
          },
        ],
        series: [
          {},
          ...this.names.map((_, line) => ({
            width: 1.5,
            stroke: () => colour(`--line-${(line % COLOURS) + 1}`),
            fill: () => (this.names.length === 1 ? colour("--line-fill") : null),
            points: { show: this.few },
          })),
        ],
      };
    }

    fit() {
      if (this.chart && this.plot.clientWidth) this.chart.setSize({ width: this.plot.clientWidth, height: HEIGHT });
    }

    // What the picture shows, in a dozen rows: the highest of each stretch of time.
    table() {
      if (!this.details.open || !this.data) return;
      const table = this.details.querySelector("table");
      const cell = (kind, text, scope) => {
        const node = document.createElement(kind);
        node.textContent = text;
        if (scope) node.scope = scope;
        return node;
      };
      const row = (...cells) => {
        const node = document.createElement("tr");
        node.append(...cells);
        return node;
      };
      const [times, ...lines] = this.data;
      const stretch = Math.max(Math.ceil(times.length / ROWS), 1);
      const rows = [];
      for (let from = 0; from < times.length; from += stretch) {
        const cells = lines.map((line) => {
          const known = line.slice(from, from + stretch).filter((value) => value !== null);
          return cell("td", this.word(known.length ? Math.max(...known) : null));
        });
        rows.unshift(row(cell("th", whole.format(times[from] * 1000), "row"), ...cells));
      }
      table.tHead.replaceChildren(row(...[words.wordFrom, ...this.names].map((name) => cell("th", name, "col"))));
      table.tBodies[0].replaceChildren(...rows);
    }
  }

  // --- asking

  const charts = [...section.querySelectorAll("[data-chart]")].map((figure) => new Chart(figure));
  const said = section.querySelector(".trouble");
  const range = () => section.querySelector("input[name=range]:checked").value;
  let seen = false;
  let timer = 0;
  let asked = 0;
  let lost = 0;
  const AGAIN = [200, 800, 2400];
  let tries = 0;
  let counting = 0;
  // The first step of which anything is known; -1: of none.
  const firstKnown = (answer) => {
    const rows = answer.instances ? [...answer.instances, ...answer.routes] : [answer];
    const series = rows.flatMap((row) => Object.values(row).filter(Array.isArray));
    const firsts = series
      .map((values) => values.findIndex((value) => value !== null && value !== 0))
      .filter((at) => at >= 0);
    const length = Math.max(0, ...series.map((values) => values.length));
    return firsts.length ? Math.max(0, Math.min(...firsts, length - LEAST)) : -1;
  };
  const tell = (answer, pause) => {
    const from = firstKnown(answer);
    for (const chart of charts) chart.show(answer, Math.max(from, 0));
    clearInterval(counting);
    tries = from < 0 ? tries + 1 : 0;
    if (from >= 0 || tries > TRIES) return;
    const until = Date.now() + pause;
    const count = () => {
      const text = words.wordSoon.replace("{n}", Math.max(1, Math.ceil((until - Date.now()) / 1000)));
      for (const chart of charts) chart.soon(text);
    };
    count();
    counting = setInterval(count, 1000);
  };
  const load = async () => {
    clearTimeout(timer);
    if (!seen || document.hidden) return;
    const mine = ++asked;
    const wanted = range();
    try {
      const answer = await fetch(`${words.charts}?range=${wanted}`, { signal: AbortSignal.timeout(PATIENCE) });
      const body = await answer.json();
      if (!answer.ok) throw new Error(body.error.message);
      if (mine !== asked) return;
      lost = 0;
      tell(body, EVERY["1h"]);
      said.hidden = true;
    } catch (error) {
      if (mine !== asked) return;
      if (error instanceof TypeError && lost < AGAIN.length) {
        timer = setTimeout(load, AGAIN[lost++]); // the network lost it
        return;
      }
      said.hidden = false;
      said.textContent = `${words.wordTrouble} ${error.message}`;
    }
    timer = setTimeout(load, tries && tries <= TRIES ? EVERY["1h"] : EVERY[wanted]);
  };
  const fetched = (kind, name) =>
    new Promise((done, failed) => {
      const node = document.createElement(kind);
      node[kind === "link" ? "href" : "src"] = name;
      if (kind === "link") node.rel = "stylesheet";
      node.onload = done;
      node.onerror = () => failed(new Error(name));
      document.head.append(node);
    });
  const uplot = () =>
    (uplot.coming ||= Promise.all([fetched("link", words.uplotCss), fetched("script", words.uplot)]));

  try {
    const kept = section.querySelector(`input[name=range][value="${sessionStorage.getItem(KEPT) || "1h"}"]`);
    if (kept) kept.checked = true;
  } catch {
    // a browser that keeps nothing begins with the last hour
  }
  section.addEventListener("change", (event) => {
    if (event.target.name !== "range") return;
    try {
      sessionStorage.setItem(KEPT, range());
    } catch {
      // as above
    }
    load();
  });
  new IntersectionObserver(async ([entry]) => {
    seen = entry.isIntersecting;
    if (!seen) return;
    await uplot();
    load();
  }, { rootMargin: "200px" }).observe(section);
  document.addEventListener("visibilitychange", load);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const chart of charts) if (chart.chart) chart.chart.redraw(false);
  });

  // A refresh of the page brings an empty section; what is drawn here stays.
  if (window.Idiomorph) {
    const callbacks = window.Idiomorph.defaults.callbacks;
    const before = callbacks.beforeNodeMorphed;
    callbacks.beforeNodeMorphed = (old, fresh) => old !== section && before(old, fresh);
  }
  section.hidden = false;
})();
