// xterm.js as it is used here: in the colours of the page, within its policy, and readable by a screen reader.
const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

// xterm.js writes <style> elements and style attributes, which the policy of this page forbids, because markup that
// somebody has smuggled in could bring them too. A script may set the same things as style sheets and properties, so on
// this page new elements do that.
document.createElement = (name, ...rest) => {
  const made = (kind) => Document.prototype.createElement.call(document, kind, ...rest);
  if (name === "style") {
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets.push(sheet);
    return Object.defineProperty(made("template"), "textContent", { set: (css) => sheet.replaceSync(css) });
  }
  const element = made(name);
  if (name === "span")
    element.setAttribute = (key, value) => {
      if (key === "style") element.style.cssText = value;
      else Element.prototype.setAttribute.call(element, key, value);
    };
  return element;
};

const theme = (page) => {
  const style = getComputedStyle(page);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const found = { background: colour("paper"), foreground: colour("ink"), cursor: colour("ink"), cursorAccent: colour("paper"), selectionBackground: colour("t-selection") };
  for (const name of COLOURS) {
    found[name] = colour(`t-${name}`);
    found[`bright${name[0].toUpperCase()}${name.slice(1)}`] = colour(`t-bright-${name}`);
  }
  return found;
};

export const makeTerminal = async (page, words, options) => {
  const { Terminal } = await import(page.dataset.xterm);
  Terminal.strings.promptLabel = words.screen;
  Terminal.strings.tooMuchOutput = words.much;
  const terminal = new Terminal({
    fontFamily: getComputedStyle(page).getPropertyValue("--mono"),
    linkHandler: { activate: () => {} }, // what an instance writes leads nowhere
    minimumContrastRatio: 4.5,
    screenReaderMode: true,
    scrollback: 5000,
    theme: theme(page),
    ...options,
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (terminal.options.theme = theme(page)));
  return terminal;
};
