// The search over everything: loads the parts of the index that a question needs (see search_index.py).
"use strict";

(function () {
  const ROOT = document.body.dataset.root + "/search/";
  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const VALUES = new Map([...DIGITS].map((digit, value) => [digit.charCodeAt(0), value]));
  const LEVELS = [1, 2, 3, 4, 6, 9, 14, 20];
  const K1 = 1.2, B = 0.75; // of BM25
  const TERM_MOST = 40, SHARDS_MOST = 8, EXPANSIONS_MOST = 80, PREFIX_WEIGHT = 0.6;
  const PAGE = 20, BOX = 7;

  // --- files of the index ---

  const files = new Map(), arrived = new Map();
  window.dreamflowShard = (what, number, value) => arrived.get(what + number)(value);

  function load(what, number = 0) {
    const key = what + number;
    if (!files.has(key)) {
      files.set(key, new Promise((resolve, reject) => {
        arrived.set(key, resolve);
        const script = document.createElement("script");
        script.src = ROOT + (what === "index" ? "index.js" : what + "-" + number + ".js");
        script.onerror = () => reject(new Error("The index of the search cannot be read: run 'snakemake site' again."));
        document.head.append(script);
      }));
    }
    return files.get(key);
  }

  function numbers(text) {
    const found = [];
    let value = 0, shift = 0;
    for (let place = 0; place < text.length; place++) {
      const digit = VALUES.get(text.charCodeAt(place));
      value += (digit & 31) * 2 ** shift;
      if (digit & 32) shift += 5;
      else {
        found.push(value);
        value = shift = 0;
      }
    }
    return found;
  }

  let documents = null;
  async function loadDocuments(index) {
    if (documents) return documents;
    const parts = await Promise.all([...Array(index.docs).keys()].map((number) => load("docs", number)));
    const lengths = Float32Array.from(parts.map((part) => part[0]).join(""), (digit) => 2 ** (DIGITS.indexOf(digit) / 4) - 1);
    const kinds = Uint8Array.from(parts.map((part) => part[1]).join(""), (digit) => DIGITS.indexOf(digit));
    const days = parts.flatMap((part) => numbers(part[2]));
    const mean = lengths.reduce((sum, length) => sum + length, 0) / Math.max(1, lengths.length);
    return (documents = { lengths, kinds, days, mean });
  }

  // --- words, as in search_index.py ---

  function fold(text) {
    return text.normalize("NFKC").toLowerCase().normalize("NFD").replace(/[\u0300-\u036f]/g, "").normalize("NFC");
  }

  function stem(word) {
    const bare = word.length > 3 && word.endsWith("s") && !"sui".includes(word.at(-2)) ? word.slice(0, -1) : word;
    return [...bare].slice(0, TERM_MOST).join("");
  }

  function patterns(index) {
    const unspaced = new RegExp("[" + index.unspaced + "]", "u");
    const words = new RegExp("[" + index.unspaced + "]+|(?:(?![" + index.unspaced + "])[\\p{L}\\p{N}\\p{M}])+", "gu");
    return { unspaced, words };
  }

  // What is asked: parts that a text should all have. `prefix`: words that begin so count too.
  function parse(query, { unspaced, words }) {
    const text = fold(query), parts = [], runs = [];
    for (const match of text.matchAll(words)) {
      const word = match[0], isLast = match.index + word.length === text.length;
      if (!unspaced.test(word)) {
        parts.push({ term: stem(word), prefix: isLast && word.length > 1 ? [...word].slice(0, TERM_MOST).join("") : "" });
      } else {
        const characters = [...word];
        runs.push(word);
        if (characters.length === 1) parts.push({ term: word, prefix: word });
        for (let place = 0; place + 1 < characters.length; place++) {
          parts.push({ term: characters[place] + characters[place + 1], prefix: "" });
        }
      }
    }
    const seen = new Set();
    return { runs, parts: parts.filter((part) => !seen.has(part.term + part.prefix) && seen.add(part.term + part.prefix)) };
  }

  // --- answers ---

  function shardOf(firsts, term) {
    let low = 0, high = firsts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (firsts[middle] <= term) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  const tables = new Map();
  async function tableOf(number) {
    if (!tables.has(number)) {
      const lines = (await load("terms", number)).split("\n");
      tables.set(number, new Map(lines.map((line) => [line.slice(0, line.indexOf(" ")), line])));
    }
    return tables.get(number);
  }

  async function postingsOf(index, part) {
    const found = [];
    const exact = shardOf(index.terms, part.term);
    const line = exact < 0 ? null : (await tableOf(exact)).get(part.term);
    if (line) found.push({ line, weight: 1 });
    if (part.prefix) {
      const from = Math.max(0, shardOf(index.terms, part.prefix)), to = shardOf(index.terms, part.prefix + "\uffff");
      const range = [];
      for (let number = from; number <= Math.min(to, from + SHARDS_MOST - 1); number++) range.push(number);
      for (const table of await Promise.all(range.map(tableOf))) {
        for (const [term, line] of table) {
          if (term !== part.term && term.startsWith(part.prefix)) found.push({ line, weight: PREFIX_WEIGHT });
        }
      }
    }
    const parsed = found.map(({ line, weight }) => {
      const [term, count, text] = line.split(" ");
      return { term, count: Number(count), text, weight };
    });
    parsed.sort((a, b) => b.weight - a.weight || b.count - a.count);
    return parsed.slice(0, EXPANSIONS_MOST);
  }

  async function find(query) {
    const index = await load("index");
    const pattern = patterns(index);
    const { parts, runs } = parse(query, pattern);
    const common = new Set(index.common);
    const asked = parts.filter((part) => !common.has(part.term));
    const result = { index, ids: [], scores: null, missing: false, ignored: parts.filter((part) => common.has(part.term)).map((part) => part.term), marks: { parts, runs, pattern } };
    if (!asked.length || !index.total) return result;
    const { lengths, mean } = await loadDocuments(index);
    const total = new Float32Array(index.total), has = new Uint16Array(index.total);
    const best = new Float32Array(index.total);
    for (const postings of await Promise.all(asked.map((part) => postingsOf(index, part)))) {
      const touched = [];
      for (const { count, text, weight } of postings) {
        const rarity = Math.log(1 + (index.total - count + 0.5) / (count + 0.5)) * weight;
        let id = 0;
        for (const value of numbers(text)) {
          id += Math.floor(value / 8);
          const often = LEVELS[value & 7];
          const score = (rarity * often * (K1 + 1)) / (often + K1 * (1 - B + (B * lengths[id]) / mean));
          if (!best[id]) touched.push(id);
          if (score > best[id]) best[id] = score;
        }
      }
      for (const id of touched) {
        total[id] += best[id];
        has[id] += 1;
        best[id] = 0;
      }
    }
    const most = has.reduce((high, count) => Math.max(high, count), 0);
    result.missing = most < asked.length;
    if (most) for (let id = 0; id < index.total; id++) if (has[id] === most) result.ids.push(id);
    result.scores = total;
    result.ids.sort((a, b) => total[b] - total[a] || a - b);
    return result;
  }

  async function textOf(index, id) {
    const file = shardOf(index.texts, id);
    const [title, place, section, date, text] = (await load("texts", file))[id - index.texts[file]];
    return { title, place, section, date, text };
  }

  // The places of a text that match, as [start, end].
  function matches(text, { parts, runs, pattern }, most = 400) {
    const found = [];
    for (const match of text.matchAll(pattern.words)) {
      if (found.length >= most) break;
      if (pattern.unspaced.test(match[0])) {
        const run = fold(match[0]);
        for (const asked of runs) {
          for (let at = run.indexOf(asked); at >= 0; at = run.indexOf(asked, at + asked.length)) {
            found.push([match.index + at, match.index + at + asked.length]);
          }
        }
        continue;
      }
      const word = fold(match[0]), term = stem(word);
      if (parts.some((part) => part.term === term || (part.prefix && word.startsWith(part.prefix)))) {
        found.push([match.index, match.index + match[0].length]);
      }
    }
    return found.sort((a, b) => a[0] - b[0]);
  }

  function marked(text, places, from, to) {
    const holder = document.createElement("span");
    let at = from;
    for (const [start, end] of places) {
      if (start < at || end > to) continue;
      holder.append(text.slice(at, start));
      const mark = document.createElement("mark");
      mark.textContent = text.slice(start, end);
      holder.append(mark);
      at = end;
    }
    holder.append(text.slice(at, to));
    return holder;
  }

  function snippet(text, marks, width) {
    const places = matches(text, marks);
    let from = 0, most = -1;
    for (const [start] of places.slice(0, 60)) { // the window with the most different words
      const inside = places.filter(([other]) => other >= start && other < start + width - 40);
      const words = new Set(inside.map(([a, b]) => text.slice(a, b).toLowerCase())).size;
      if (words > most) {
        most = words;
        from = start;
      }
    }
    from = Math.max(0, Math.min(from - 40, text.length - width));
    if (from) from = Math.max(from, text.indexOf(" ", from - 1) + 1 < from + 20 ? text.indexOf(" ", from - 1) + 1 : from);
    const to = Math.min(text.length, from + width);
    const holder = marked(text, places, from, to);
    if (from) holder.prepend("… ");
    if (to < text.length) holder.append(" …");
    return holder;
  }

  // --- what is shown ---

  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  function address(place) {
    return document.body.dataset.root + "/" + place;
  }

  function said(result, count) {
    const notes = [];
    if (result.ignored.length) notes.push("Left out, since most texts have it: " + result.ignored.join(", ") + ".");
    if (!count) notes.push(result.ignored.length ? "Nothing else was asked for." : "Nothing was found.");
    else if (result.missing) notes.push("No text has all these words; these have most of them.");
    return notes.join(" ");
  }

  // The address of the page of the search, for a question.
  function questionPage(query) {
    return address("search.html") + "#q=" + encodeURIComponent(query);
  }

  function searchBox(form) {
    const input = form.querySelector("input"), list = element("ul", "hits"), say = element("p", "visually-hidden");
    list.id = "search-hits";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Found");
    list.hidden = true;
    say.setAttribute("role", "status");
    for (const [name, value] of [["role", "combobox"], ["aria-expanded", "false"], ["aria-controls", list.id], ["aria-autocomplete", "list"]]) {
      input.setAttribute(name, value);
    }
    form.append(list, say);
    let chosen = -1, asked = 0, timer = 0;

    function close() {
      list.hidden = true;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
      chosen = -1;
    }

    function choose(place) {
      const options = [...list.children];
      if (!options.length) return;
      chosen = (place + options.length) % options.length;
      options.forEach((option, number) => option.setAttribute("aria-selected", String(number === chosen)));
      input.setAttribute("aria-activedescendant", options[chosen].id);
      options[chosen].scrollIntoView({ block: "nearest" });
    }

    function option(target, ...content) {
      const made = element("li", "", ...content);
      made.setAttribute("role", "option");
      made.setAttribute("aria-selected", "false");
      made.id = "search-hit-" + list.children.length;
      made.dataset.target = target;
      list.append(made);
    }

    async function ask() {
      const query = input.value.trim(), number = ++asked;
      if (!query) return close();
      let result, hits;
      try {
        result = await find(query);
        hits = await Promise.all(result.ids.slice(0, BOX).map((id) => textOf(result.index, id).then((text) => ({ id, ...text }))));
      } catch (error) {
        say.textContent = error.message;
        list.replaceChildren();
        option(questionPage(query), error.message);
        list.hidden = false;
        return;
      }
      if (number !== asked) return;
      list.replaceChildren();
      for (const hit of hits) {
        const kind = result.index.kinds[documents.kinds[hit.id]];
        const title = element("span", "hit-title", marked(hit.title, matches(hit.title, result.marks), 0, hit.title.length));
        option(address(hit.place), title, " ", element("span", "note", kind), element("span", "hit-text", snippet(hit.text, result.marks, 130)));
      }
      const count = result.ids.length;
      const more = count > BOX ? "All " + count.toLocaleString("en") + " found" : count ? "All of it on a page" : said(result, 0);
      option(questionPage(query), element("span", "note", more));
      say.textContent = count ? count + " found" : said(result, 0);
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
      chosen = -1;
    }

    input.addEventListener("focus", () => load("index").then(loadDocuments).catch(() => {}));
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, 80);
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (list.hidden) return;
        choose(event.key === "ArrowDown" ? chosen + 1 : chosen < 0 ? -1 : chosen - 1);
      } else if (event.key === "Escape") {
        if (list.hidden) input.value = "";
        close();
      } else if (event.key === "Enter" && chosen >= 0 && !list.hidden) {
        location.href = list.children[chosen].dataset.target;
        close();
      } else return;
      event.preventDefault();
    });
    list.addEventListener("click", (event) => {
      const picked = event.target.closest("li");
      if (picked) location.href = picked.dataset.target;
      close();
    });
    form.addEventListener("focusout", (event) => {
      if (!form.contains(event.relatedTarget)) setTimeout(close, 150);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (input.value.trim()) location.href = questionPage(input.value.trim());
    });
  }

  function searchPage(page) {
    const form = page.querySelector("form"), input = form.querySelector("input[type=search]");
    const order = form.querySelector("select"), kinds = page.querySelector(".kinds");
    const say = page.querySelector("[role=status]"), list = page.querySelector(".results"), more = page.querySelector("button.more");
    let kind = "", asked = 0, timer = 0, shown = 0, current = null, ids = [];

    async function add() {
      const next = ids.slice(shown, shown + PAGE), result = current;
      shown += next.length;
      more.hidden = shown >= ids.length;
      const hits = await Promise.all(next.map((id) => textOf(result.index, id).then((text) => ({ id, ...text }))));
      if (result !== current) return;
      for (const hit of hits) {
        const link = element("a", "hit-title", marked(hit.title, matches(hit.title, result.marks), 0, hit.title.length));
        link.href = address(hit.place);
        const about = [result.index.kinds[documents.kinds[hit.id]], hit.date].filter(Boolean).join(" · ");
        list.append(element("li", "", link, " ", element("span", "note", about), element("span", "hit-text", snippet(hit.text, result.marks, 300))));
      }
      page.dataset.answered = input.value.trim();
    }

    function show() {
      if (!current) return;
      const counts = new Map();
      for (const id of current.ids) {
        const name = current.index.kinds[documents.kinds[id]];
        counts.set(name, (counts.get(name) || 0) + 1);
      }
      if (kind && !counts.has(kind)) counts.set(kind, 0);
      kinds.replaceChildren();
      for (const [name, count] of [["", current.ids.length], ...[...counts].sort((a, b) => b[1] - a[1])]) {
        if (counts.size < 2 && !kind) break;
        const button = element("button", "small", (name || "everything") + " ", element("span", "note", count.toLocaleString("en")));
        button.type = "button";
        button.setAttribute("aria-pressed", String(name === kind));
        button.addEventListener("click", () => {
          kind = name;
          remember();
          show();
        });
        kinds.append(button);
      }
      ids = current.ids.filter((id) => !kind || current.index.kinds[documents.kinds[id]] === kind);
      if (order.value === "new") ids = [...ids].sort((a, b) => documents.days[b] - documents.days[a]);
      say.textContent = [ids.length ? ids.length.toLocaleString("en") + (ids.length === 1 ? " text" : " texts") + "." : "", said(current, ids.length)].filter(Boolean).join(" ");
      list.replaceChildren();
      shown = 0;
      add();
    }

    async function ask() {
      const query = input.value.trim(), number = ++asked;
      if (!query) {
        current = null;
        list.replaceChildren();
        kinds.replaceChildren();
        say.textContent = "";
        more.hidden = true;
        return;
      }
      try {
        const result = await find(query);
        if (result.ids.length) await loadDocuments(result.index);
        if (number !== asked) return;
        current = result;
        show();
      } catch (error) {
        say.textContent = error.message;
      }
    }

    function remember() {
      const state = new URLSearchParams();
      if (input.value.trim()) state.set("q", input.value.trim());
      if (kind) state.set("kind", kind);
      if (order.value) state.set("order", order.value);
      history.replaceState(null, "", "#" + state);
    }

    function restore() {
      const state = new URLSearchParams(location.hash.slice(1) || location.search);
      input.value = state.get("q") || "";
      kind = state.get("kind") || "";
      order.value = state.get("order") || "";
      ask();
    }

    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        remember();
        ask();
      }, 120);
    });
    order.addEventListener("change", () => {
      remember();
      show();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      remember();
      ask();
    });
    more.addEventListener("click", add);
    page.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      const links = [...list.querySelectorAll("a.hit-title")], at = links.indexOf(document.activeElement);
      if (event.target !== input && at < 0) return;
      const next = event.key === "ArrowDown" ? links[at + 1] : at > 0 ? links[at - 1] : input;
      if (next) {
        next.focus();
        event.preventDefault();
      }
    });
    window.addEventListener("hashchange", restore);
    restore();
    if (!input.value) input.focus();
  }

  const form = document.querySelector("[data-search]"), page = document.querySelector("[data-search-page]");
  if (form) searchBox(form);
  if (page) searchPage(page);
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches && target.matches("input, select, textarea, [contenteditable]")) return;
    document.querySelector("[data-search] input, [data-search-page] input").focus();
    event.preventDefault();
  });
})();
