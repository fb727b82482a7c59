// A shell in the page: xterm.js at one end, the API's WebSocket for commands at the other. One shell at a time; opening
// the page opens none. Keys go as they are typed, so one of them is kept to leave the terminal with.
import { makeTerminal } from "./screen.js";

const page = document.getElementById("shell");
const form = document.getElementById("enter");
const session = document.getElementById("session");
const screen = document.getElementById("screen");
const told = document.getElementById("told");
const line = document.getElementById("lease");
const end = document.getElementById("end");
const again = document.getElementById("again");
const recording = document.getElementById("recording");

const WINDOW = 256 * 1024; // bytes that one side may be ahead of the other
const PIECE = 16 * 1024;
const PATIENCE = 3000; // milliseconds for the box to say goodbye
const KEYS = { Esc: "\x1b", Tab: "\t", "Ctrl-C": "\x03", "Ctrl-D": "\x04", "↑": "\x1b[A", "↓": "\x1b[B", "←": "\x1b[D", "→": "\x1b[C" };
const language = document.documentElement.lang || "en";
const encoder = new TextEncoder();

const words = page ? JSON.parse(page.dataset.words) : {};
const fill = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name]);
const say = (text, tone = "") => {
  told.className = `told ${tone}`;
  told.textContent = text;
};

let terminal; // made when the first shell opens
let fit;
let open; // what is open now

const make = async () => {
  const [made, { FitAddon }] = await Promise.all([
    makeTerminal(page, words, { fontSize: matchMedia("(max-width: 40rem)").matches ? 12 : 14, macOptionIsMeta: true }),
    import(page.dataset.fit),
  ]);
  terminal = made;
  fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(screen);
  terminal.textarea.setAttribute("aria-describedby", "keys");
  terminal.onData((text) => open?.type(encoder.encode(text)));
  terminal.onBinary((text) => open?.type(Uint8Array.from(text, (sign) => sign.charCodeAt(0))));
  terminal.onResize(({ cols, rows }) => open?.tell({ type: "resize", columns: cols, rows }));
  terminal.attachCustomKeyEventHandler((event) => {
    if (!event.ctrlKey || !event.shiftKey) return true;
    if (event.key === "Enter") {
      if (event.type === "keydown") (open ? end : again).focus();
    } else if (event.code === "KeyC" && terminal.hasSelection()) {
      if (event.type === "keydown") document.execCommand("copy");
    } else return true;
    event.preventDefault();
    return false;
  });
  new ResizeObserver(() => {
    if (!session.hidden) fit.fit();
  }).observe(screen);
};

// One shell, from the button to its end.
class Shell {
  constructor(wanted) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.lease = undefined;
    this.over = false;
    this.pieces = []; // typed, and not sent yet
    this.ahead = 0;
    this.read = 0;
    this.socket = new WebSocket(`${scheme}://${location.host}${page.dataset.path}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("open", () => this.tell(wanted));
    this.socket.addEventListener("message", ({ data }) => (typeof data === "string" ? this.hear(JSON.parse(data)) : this.show(new Uint8Array(data))));
    this.socket.addEventListener("close", () => this.lost());
  }

  tell(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  type(bytes) {
    for (let at = 0; at < bytes.length; at += PIECE) this.pieces.push(bytes.subarray(at, at + PIECE));
    this.flush();
  }

  flush() {
    while (this.pieces.length && this.ahead < WINDOW / 2 && this.socket.readyState === WebSocket.OPEN) {
      const piece = this.pieces.shift();
      const message = new Uint8Array(piece.length + 1); // the first byte is 0: standard input
      message.set(piece, 1);
      this.ahead += piece.length;
      this.socket.send(message);
    }
  }

  show(message) {
    const bytes = message.subarray(1);
    terminal.write(bytes, () => {
      this.read += bytes.length;
      if (this.read < WINDOW / 4) return;
      this.tell({ type: "taken", bytes: this.read });
      this.read = 0;
    });
  }

  hear(message) {
    if (message.type === "opened") this.begin(message.lease);
    else if (message.type === "notice") {
      const text = { toolbox: words.tools, ends: words.ends }[message.code] || message.text;
      terminal.write(`\r\n\x1b[2m[${text}]\x1b[0m\r\n`);
      if (message.code === "ends") say(text, "bad");
    } else if (message.type === "taken") {
      this.ahead -= message.bytes;
      this.flush();
    } else if (message.type === "ended") this.finish(this.why(message), message.ending === "done" ? "" : "bad");
    else if (message.type === "error") this.finish([message.error.message, message.error.hint].filter(Boolean).join(" – "), "bad");
  }

  begin(lease) {
    this.lease = lease;
    const until = new Date(lease.until * 1000).toLocaleTimeString(language, { timeStyle: "short", hourCycle: "h23" });
    line.textContent = fill(words.inside, { instance: lease.instance.replace(/^minipaas-/, ""), actor: lease.actor, until });
    say("");
    terminal.focus();
  }

  why({ ending, code, text, error }) {
    if (ending === "done") return code === null || code === undefined ? words.done : fill(words.code, { code });
    return fill(words[ending], { text: error?.message || text });
  }

  leave() {
    this.tell({ type: "leave" });
    setTimeout(() => this.socket.close(), PATIENCE);
  }

  async lost() {
    if (this.over) return;
    if (this.lease) return this.finish(words.lost, "bad");
    // A browser does not tell a script why a WebSocket was refused; an ordinary request is told.
    let why = words.unreachable;
    try {
      const answer = await fetch(page.dataset.path, { headers: { Accept: "application/json" } });
      const { error } = await answer.json();
      if (error.code !== "api.websocket") why = [error.message, error.hint].filter(Boolean).join(" – ");
    } catch {
      // as unreachable as before
    }
    this.finish(why, "bad");
  }

  finish(text, tone) {
    if (this.over) return;
    this.over = true;
    open = undefined;
    terminal.options.disableStdin = true;
    say(text, tone);
    end.hidden = true;
    if (!this.lease) {
      ask();
      return;
    }
    again.hidden = false;
    if (this.lease.recording) {
      recording.href = `/api/v1/leases/${this.lease.id}/recording`;
      recording.hidden = false;
    }
    if (session.contains(document.activeElement) || document.activeElement === document.body) again.focus();
  }
}

const ask = () => {
  session.hidden = true;
  form.hidden = false;
  form.elements.reason.focus();
};

const begin = async () => {
  const given = new FormData(form);
  const [service, slot] = (given.get("place") || "").split("/");
  form.hidden = true;
  session.hidden = false;
  end.hidden = false;
  again.hidden = recording.hidden = true;
  line.textContent = "";
  say(words.opening);
  try {
    if (!terminal) await make();
  } catch {
    say(words.unreachable, "bad");
    ask();
    return;
  }
  terminal.reset();
  terminal.options.disableStdin = false;
  fit.fit();
  open = new Shell({
    ...(service ? { service, slot: Number(slot) } : {}),
    reason: given.get("reason").trim(),
    seconds: Number(given.get("time")),
    terminal: { columns: terminal.cols, rows: terminal.rows },
    env: ["TERM=xterm-256color"],
    toolbox: given.get("tools") === "toolbox",
    paced: true,
  });
};

if (form) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!open) begin();
  });
  end.addEventListener("click", () => open?.leave());
  again.addEventListener("click", () => {
    say("");
    ask();
  });
  page.querySelector(".taps").addEventListener("click", (event) => {
    const key = event.target.dataset.key;
    if (!key) return;
    const arrow = terminal.modes.applicationCursorKeysMode && KEYS[key].startsWith("\x1b[");
    open?.type(encoder.encode(arrow ? KEYS[key].replace("[", "O") : KEYS[key]));
    terminal.focus();
  });
  window.addEventListener("beforeunload", (event) => {
    if (open?.lease) event.preventDefault();
  });
  window.addEventListener("pagehide", () => open?.tell({ type: "leave" }));
  form.hidden = false;
  form.elements.reason.focus();
}
