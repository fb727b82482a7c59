// The box page's own: a file read into a text field, and a secret copied. Without this script both can be done by hand.
"use strict";
(() => {
  document.addEventListener("change", async (event) => {
    const input = event.target;
    if (input.type !== "file" || !input.dataset.into || !input.files.length) return;
    const field = document.getElementById(input.dataset.into);
    const [file] = input.files;
    field.value = file.size <= field.maxLength ? await file.text() : "";
    field.focus();
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const said = button.parentElement.querySelector("[role=status]");
    try {
      await navigator.clipboard.writeText(source.textContent);
      said.textContent = button.dataset.done;
    } catch {
      // no clipboard here (the page came over plain http from another host): select it, so that the keys do
      window.getSelection().selectAllChildren(source);
      said.textContent = button.dataset.failed;
    }
  });
})();
