// What a session showed, played again: an asciicast (version 2) in xterm.js. It opens with all of it, to be read and
// scrolled; playing begins at its beginning. Pauses are cut short, as by `minipaas access play`.
import { makeTerminal } from "./screen.js";

const page = document.getElementById("recording");
const player = document.getElementById("player");
const screen = document.getElementById("screen");
const play = document.getElementById("play");
const place = document.getElementById("place");
const clock = document.getElementById("clock");
const speed = document.getElementById("speed");
const told = document.getElementById("told");
const words = JSON.parse(page.dataset.words);

const PAUSE = 2; // seconds that a pause lasts at most
const LARGEST = 14; // pixels
const SMALLEST = 6;
const MOST = 500; // columns or rows that anybody has

const read = (text) => {
  const [head, ...lines] = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  if (head.version !== 2) throw new Error("version");
  let [at, before] = [0, 0];
  const events = [];
  for (const [time, kind, data] of lines) {
    at += Math.min(Math.max(time - before, 0), PAUSE);
    before = time;
    if (kind === "o" || kind === "r") events.push({ at, kind, data });
  }
  const within = (number) => Math.min(Math.max(Math.trunc(number) || 1, 1), MOST);
  return { columns: within(head.width), rows: within(head.height), events, length: at, within };
};

const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

const start = async () => {
  const answer = await fetch(page.dataset.path);
  if (!answer.ok) throw new Error(String(answer.status));
  const cast = read(await answer.text());
  const terminal = await makeTerminal(page, words, {
    cols: cast.columns,
    rows: cast.rows,
    convertEol: "lines" in page.dataset, // no terminal has done it
    disableStdin: true,
    fontSize: LARGEST,
    scrollback: 50000,
  });
  player.hidden = false;
  terminal.open(screen);

  // All columns are to be seen, however narrow the page is; what would be too small to read is scrolled.
  const fit = () => {
    const shown = screen.querySelector(".xterm-screen").clientWidth;
    const room = screen.clientWidth - 32;
    if (!shown || room <= 0) return;
    const size = Math.floor((terminal.options.fontSize * room) / shown);
    terminal.options.fontSize = Math.min(LARGEST, Math.max(SMALLEST, size));
  };

  let next = 0; // the first event that is not shown yet
  let at = 0; // seconds of the recording
  let ticking; // the time of the last picture, while it plays
  const show = () => {
    place.value = at;
    place.setAttribute("aria-valuetext", minutes(at));
    clock.textContent = `${minutes(at)} / ${minutes(cast.length)}`;
    play.textContent = ticking === undefined ? words.play : words.pause;
  };
  const on = () => {
    let text = "";
    for (; next < cast.events.length && cast.events[next].at <= at; next += 1) {
      const { kind, data } = cast.events[next];
      if (kind === "o") text += data;
      else {
        terminal.write(text);
        text = "";
        const [columns, rows] = data.split("x").map(cast.within);
        terminal.write("", () => {
          terminal.resize(columns, rows);
          fit();
        });
      }
    }
    if (text) terminal.write(text);
  };
  const go = (where) => {
    if (where < at) {
      terminal.write("", () => { // behind what was written before
        terminal.reset();
        terminal.resize(cast.columns, cast.rows);
      });
      next = 0;
    }
    at = where;
    on();
    show();
  };
  const tick = (now) => {
    if (ticking === undefined) return;
    at = Math.min(cast.length, at + ((now - ticking) / 1000) * Number(speed.value));
    ticking = at < cast.length ? now : undefined;
    on();
    show();
    if (ticking !== undefined) requestAnimationFrame(tick);
  };
  play.addEventListener("click", () => {
    if (ticking !== undefined) ticking = undefined;
    else {
      if (at >= cast.length) go(0);
      ticking = performance.now();
      requestAnimationFrame(tick);
    }
    show();
  });
  place.addEventListener("input", () => go(Number(place.value)));

  place.max = cast.length;
  go(cast.length);
  terminal.write("", fit);
  new ResizeObserver(fit).observe(screen);
  if (!cast.events.length) told.textContent = words.empty;
};

start().catch(() => {
  told.className = "told bad";
  told.textContent = words.broken;
});
