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

  function choose(side, id) {
    load(id, (text) => {
      chosen[side] = text;
      show(side);
      scores();
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
