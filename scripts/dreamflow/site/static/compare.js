// Two texts of a cohort side by side. Each text is a file with a call of dreamflowText(), loaded when it is chosen.
"use strict";

(function () {
  const box = document.getElementById("compare");
  const texts = {}, waiting = {};

  window.dreamflowText = function (text) {
    texts[text.gen_id] = text;
    for (const go of waiting[text.gen_id] || []) go(text);
    delete waiting[text.gen_id];
  };

  function load(id, go) {
    if (texts[id]) return go(texts[id]);
    if (waiting[id]) return void waiting[id].push(go);
    waiting[id] = [go];
    const script = document.createElement("script");
    script.src = box.dataset.folder + encodeURIComponent(id) + ".js";
    document.head.append(script);
  }

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  const number = (value) => (value === null ? "–" : value.toFixed(2));
  const chosen = {};

  function show(side) {
    const text = chosen[side], place = document.getElementById("text-" + side);
    const interval = text.ci_low === null ? "" : ` [${number(text.ci_low)}, ${number(text.ci_high)}]`;
    const rank = text.rank === null ? "not ranked" : `rank ${text.rank}, score ${number(text.mean)}${interval}`;
    const name = text.path.split("/").pop();
    place.replaceChildren(
      element("p", { className: "note" }, `${rank}; ${text.model}; ${text.template}; ${text.concepts}. `,
        element("a", { href: name }, "Its page")),
      element("article", { className: "prose", innerHTML: text.html }), // made and escaped by the site's own Markdown
    );
  }

  const MOST = 4000; // words of a text whose differences are marked

  // For each word of two texts whether both have it, in the same order (longest common subsequence).
  function common(a, b) {
    const wide = b.length + 1, length = new Uint16Array((a.length + 1) * wide);
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        length[i * wide + j] = a[i] === b[j] ? length[(i + 1) * wide + j + 1] + 1
          : Math.max(length[(i + 1) * wide + j], length[i * wide + j + 1]);
      }
    }
    const both = [new Set(), new Set()];
    for (let i = 0, j = 0; i < a.length && j < b.length; ) {
      if (a[i] === b[j]) both[0].add(i++), both[1].add(j++);
      else if (length[(i + 1) * wide + j] >= length[i * wide + j + 1]) i++;
      else j++;
    }
    return both;
  }

  function differences() {
    const words = ["a", "b"].map((side) => chosen[side].text.match(/\S+\s*/g) || []);
    if (Math.max(...words.map((own) => own.length)) > MOST) return false;
    const both = common(...words.map((own) => own.map((word) => word.trim())));
    ["a", "b"].forEach((side, place) => {
      const article = element("article", { className: "prose marked" });
      let run = null, marked = null;
      words[place].forEach((word, number) => {
        const differs = !both[place].has(number);
        if (differs !== marked) article.append((run = differs ? element(place ? "ins" : "del") : element("span")));
        marked = differs;
        run.append(word);
      });
      document.querySelector("#text-" + side + " article").replaceWith(article);
    });
    return true;
  }

  function scores() {
    if (!chosen.a || !chosen.b) return;
    const of = (text) => new Map(text.scores.map((score) => [score.who, score]));
    const [left, right] = [of(chosen.a), of(chosen.b)];
    const rows = [...new Set([...left.keys(), ...right.keys()])].map((who) => {
      const [a, b] = [left.get(who)?.mean ?? null, right.get(who)?.mean ?? null];
      const better = a === null || b === null || a === b ? "" : a > b ? "left" : "right";
      const cells = [number(a), number(b), better].map((value) => element("td", { className: "number" }, value));
      return element("tr", {}, element("th", { scope: "row" }, who), ...cells);
    });
    const head = ["evaluator", "left", "right", "higher"].map((name, place) => {
      return element("th", { scope: "col", className: place ? "number" : "" }, name);
    });
    const table = element("table", {}, element("caption", {}, "Scores by evaluator, each on its own scale"),
      element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
    document.getElementById("scores").replaceChildren(
      element("div", { className: "table" }, element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Scores" }, table)));
  }

  const mark = document.getElementById("mark");

  function update() {
    for (const side of ["a", "b"]) if (chosen[side]) show(side);
    if (mark.checked && chosen.a && chosen.b) mark.checked = differences();
    scores();
  }

  mark.addEventListener("change", update);

  function choose(side, id) {
    load(id, (text) => {
      chosen[side] = text;
      update();
      history.replaceState(null, "", `#a=${selects.a.value}&b=${selects.b.value}`);
    });
  }

  const selects = { a: document.getElementById("choose-a"), b: document.getElementById("choose-b") };
  const asked = new URLSearchParams(location.hash.slice(1));
  selects.b.selectedIndex = 1;
  for (const [side, select] of Object.entries(selects)) {
    const options = [...select.options].map((option) => option.value);
    if (options.includes(asked.get(side))) select.value = asked.get(side);
  }
  if (selects.a.value === selects.b.value) selects.b.selectedIndex = 0;
  for (const [side, select] of Object.entries(selects)) {
    select.addEventListener("change", () => choose(side, select.value));
    choose(side, select.value);
  }
})();
