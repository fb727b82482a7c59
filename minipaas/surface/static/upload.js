// Bundles on their way to the box: one after the other, streamed from the disk by the browser, with what the box says.
// `minipaasUpload(files)` is for drop.js: on other pages than /upload the same section opens in a dialog.
"use strict";
(() => {
  const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
  const language = document.documentElement.lang || "en";
  const bytes = (count) => {
    let unit = 0;
    for (; count >= 1024 && unit < UNITS.length - 1; unit++) count /= 1024;
    return `${count.toLocaleString(language, { maximumFractionDigits: unit ? 1 : 0 })} ${UNITS[unit]}`;
  };
  const made = (kind, parts = {}, ...inside) => {
    const node = Object.assign(document.createElement(kind), parts);
    node.append(...inside);
    return node;
  };

  const waiting = [];
  let busy = false;

  class Upload {
    constructor(file, section) {
      this.file = file;
      this.words = JSON.parse(section.dataset.words);
      this.csrf = section.dataset.csrf;
      this.hold = section.dataset.hold !== undefined;
      this.told = made("p", { className: "told" });
      this.told.setAttribute("role", "status");
      this.bar = made("progress", { max: 1, value: 0 });
      this.bar.setAttribute("aria-label", file.name);
      this.result = made("div", { className: "result" });
      this.button = made("button", { type: "button", textContent: this.words.cancel });
      this.button.addEventListener("click", () => this.stop());
      const title = made("header", {}, made("h3", { textContent: file.name }), made("span", { className: "meta", textContent: bytes(file.size) }), this.button);
      this.node = made("li", { className: "upload" }, title, this.bar, this.told, this.result);
      section.querySelector(".uploads").append(this.node);
      this.say("waiting");
    }

    say(word, values = {}) {
      const text = this.words[word].replace(/{(\w+)}/g, (_, name) => values[name]);
      if (this.told.textContent !== text) this.told.textContent = text;
    }

    // Resolves when the box has answered, or nothing more is to be expected.
    run() {
      return new Promise((done) => {
        if (this.stopped) return done();
        const request = (this.request = new XMLHttpRequest());
        request.open("PUT", `/api/v1/bundles${this.hold ? "?hold=true" : ""}`);
        request.setRequestHeader("Content-Type", "application/octet-stream");
        request.setRequestHeader("X-CSRF-Token", this.csrf);
        request.upload.onprogress = (event) => {
          this.bar.value = event.loaded / Math.max(event.total, 1);
          this.say("sending", { done: bytes(event.loaded), total: bytes(event.total) });
        };
        request.upload.onload = () => {
          this.bar.removeAttribute("value");
          this.say("checking");
        };
        request.onload = () => this.answered(request);
        request.onerror = () => this.failed("broken_off");
        request.onabort = () => this.failed("cancelled");
        request.onloadend = done;
        request.send(this.file);
      });
    }

    stop() {
      this.stopped = true;
      if (this.request) this.request.abort();
      else this.failed("cancelled");
    }

    answered(request) {
      let answer;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        return this.failed("broken_off");
      }
      this.bar.remove();
      this.button.remove();
      if (request.status >= 400) {
        this.say("refused");
        const why = made("div", { className: "problem" }, made("p", {}, made("b", { textContent: answer.error.message })));
        if (answer.error.hint) why.append(made("p", { textContent: answer.error.hint }));
        why.setAttribute("role", "alert");
        return this.result.replaceChildren(why);
      }
      this.say("accepted");
      const place = made("div");
      this.result.replaceChildren(place);
      const [path, select] =
        answer.change === undefined
          ? [`/upload/held/${answer.id}`, `#held-${answer.id}`]
          : [`/upload/changes/${answer.change}`, `#followed-${answer.change}`];
      window.htmx.ajax("GET", path, { target: place, swap: "outerHTML ignoreTitle:true", select });
    }

    failed(word) {
      this.bar.remove();
      this.say(word);
      this.told.classList.add("bad");
      const again = made("button", { type: "button", textContent: this.words.again });
      again.addEventListener("click", () => {
        this.node.remove();
        take([this.file]);
      });
      this.button.replaceWith(again);
    }
  }

  const work = async () => {
    if (busy) return;
    busy = true;
    while (waiting.length) await waiting.shift().run();
    busy = false;
  };
  window.addEventListener("beforeunload", (event) => {
    if (busy) event.preventDefault();
  });

  // --- where: the page itself, or a dialog over another one

  const opened = async () => {
    const part = await (await fetch("/upload", { headers: { "HX-Request": "true" } })).text();
    const inside = new DOMParser().parseFromString(part, "text/html");
    const close = made("button", { textContent: JSON.parse(document.querySelector("meta[name=words]").content).close });
    const dialog = made("dialog", { className: "uploading" }, made("form", { method: "dialog" }, close), inside.querySelector("h1"), inside.getElementById("upload"));
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("cancel", (event) => busy && event.preventDefault());
    document.body.append(dialog);
    window.htmx.process(dialog);
    dialog.showModal();
  };

  const take = async (files) => {
    if (!files.length) return;
    if (!document.getElementById("upload")) await opened();
    const section = document.getElementById("upload");
    bind(section);
    if (!section.dataset.words) return;
    for (const file of files) waiting.push(new Upload(file, section));
    work();
  };

  const bind = (section) => {
    const input = section?.querySelector(".drop input");
    if (!input || input.dataset.bound) return;
    input.dataset.bound = "1";
    input.addEventListener("change", () => {
      take([...input.files]);
      input.value = "";
    });
  };
  bind(document.getElementById("upload"));
  window.minipaasUpload = take;
})();
