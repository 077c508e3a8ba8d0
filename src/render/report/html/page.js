"use strict";
// Searches the log: what does not have all of the words is hidden, and the words are marked.
const log = document.getElementById("log");
if (log) {
  const words = document.getElementById("words");
  const level = document.getElementById("level");
  const count = document.getElementById("count");
  const lines = Array.from(log.children, (line) => ({
    line,
    text: line.lastElementChild,
    said: line.lastElementChild.textContent,
    low: line.textContent.toLowerCase(),
    level: Number(line.dataset.level),
  }));
  const mark = (entry, wanted) => {
    entry.text.textContent = "";
    let rest = entry.said;
    for (;;) {
      const low = rest.toLowerCase();
      const found = wanted.map((word) => [low.indexOf(word), word.length]).filter(([at]) => at >= 0);
      if (found.length === 0 || low.length !== rest.length) break;
      const [at, length] = found.reduce((one, other) => (other[0] < one[0] ? other : one));
      const marked = document.createElement("mark");
      marked.textContent = rest.slice(at, at + length);
      entry.text.append(rest.slice(0, at), marked);
      rest = rest.slice(at + length);
    }
    entry.text.append(rest);
  };
  const search = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter((word) => word !== "");
    const most = Number(level.value);
    let shown = 0;
    for (const entry of lines) {
      const fits = entry.level <= most && wanted.every((word) => entry.low.includes(word));
      entry.line.hidden = !fits;
      if (fits) shown += 1;
      if (fits || wanted.length === 0) mark(entry, wanted);
    }
    count.textContent = `${shown} of ${lines.length} records`;
  };
  words.addEventListener("input", search);
  level.addEventListener("change", search);
  const asked = new URLSearchParams(location.hash.slice(1)).get("search");
  if (asked !== null) words.value = asked;
  search();
}
for (const [name, open] of [["open-all", true], ["close-all", false]]) {
  document.getElementById(name)?.addEventListener("click", () => {
    for (const stack of document.querySelectorAll("details.stack")) stack.open = open;
  });
}
