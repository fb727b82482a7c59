// A file dropped on any page is an upload. What uploads comes only then.
"use strict";
(() => {
  const { upload, style, text } = document.currentScript.dataset;
  const root = document.documentElement;
  const carries = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  const over = document.createElement("p");
  over.className = "drop-here";
  over.textContent = text;
  over.hidden = true;
  over.ariaHidden = "true";
  document.body.append(over);
  const show = (on) => {
    root.classList.toggle("dropping", on);
    over.hidden = !on;
  };
  const coming = (kind, parts) =>
    new Promise((done, failed) => {
      const node = Object.assign(document.createElement(kind), parts, { onload: done, onerror: failed });
      document.head.append(node);
    });

  document.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    show(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) show(false);
  });
  document.addEventListener("drop", async (event) => {
    show(false);
    if (!carries(event)) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    if (!window.minipaasUpload) {
      await Promise.all([coming("link", { rel: "stylesheet", href: style }), coming("script", { src: upload })]);
    }
    window.minipaasUpload(files);
  });
})();
