// Tables that are sorted and filtered, and buttons that copy. Everything is readable without this file.
"use strict";

(function () {
  const STEP = 200; // rows that are added when the end of a table comes into sight
  const FEW = 12; // values of a column that become a list of choices

  // The state of the page's tables is in its address: #~scores.sort=-2&scores.q=water
  function readState() {
    return new URLSearchParams(location.hash.startsWith("#~") ? location.hash.slice(2) : "");
  }

  function writeState(name, value) {
    const state = readState();
    if (value) state.set(name, value);
    else state.delete(name);
    const text = state.toString();
    if (text || location.hash.startsWith("#~")) history.replaceState(null, "", text ? "#~" + text : "#");
  }

  function element(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function keyOf(cell) {
    const value = cell.dataset.v ?? cell.textContent.trim();
    if (value === "" || value === "–") return null;
    return cell.classList.contains("number") && !Number.isNaN(Number(value)) ? Number(value) : value;
  }

  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  function compare(a, b) {
    if (a === null || b === null) return 0;
    return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));
  }

  function enhance(box) {
    const table = box.querySelector("table"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const rows = [...body.rows].map((row) => {
      return { node: row, keys: [...row.cells].map(keyOf), text: row.textContent.toLowerCase() };
    });
    const more = box.querySelector("script.more-rows");
    for (const [html, keys] of more ? JSON.parse(more.textContent) : []) {
      rows.push({ html, keys, text: keys.join(" ").toLowerCase() });
    }
    rows.forEach((row, place) => (row.place = place));
    if (rows.length > 25) box.classList.add("tall");
    let shown = rows, count = 0, order = "", query = "";
    const picked = new Map();
    const output = element("output", { className: "count" });

    function node(row) {
      if (!row.node) {
        const holder = document.createElement("tbody");
        holder.innerHTML = row.html; // made and escaped by the same templates as the page
        row.node = holder.rows[0];
      }
      return row.node;
    }

    function addRows() {
      const next = shown.slice(count, count + STEP);
      body.append(...next.map(node));
      count += next.length;
    }

    function update() {
      const words = query.toLowerCase().split(/\s+/).filter(Boolean);
      shown = rows.filter((row) => {
        if (!words.every((word) => row.text.includes(word))) return false;
        for (const [place, value] of picked) if (String(row.keys[place] ?? "") !== value) return false;
        return true;
      });
      if (order) {
        const place = Math.abs(order) - 1, sign = Math.sign(order);
        shown.sort((a, b) => {
          const x = a.keys[place], y = b.keys[place];
          if ((x === null) !== (y === null)) return x === null ? 1 : -1; // what is unknown comes last
          return sign * compare(x, y) || a.place - b.place;
        });
      }
      body.replaceChildren();
      count = 0;
      addRows();
      heads.forEach((head, place) => {
        if (order && Math.abs(order) - 1 === place) {
          head.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
        } else head.removeAttribute("aria-sort");
      });
      output.textContent = shown.length === rows.length ? rows.length.toLocaleString("en") + " rows"
        : shown.length.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " rows";
    }

    heads.forEach((head, place) => {
      if (!head.textContent.trim()) return;
      const button = element("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("number") || head.classList.contains("date") ? -1 : 1; // the most first
        const now = Math.abs(order) - 1 === place ? Math.sign(order) : 0;
        order = now === 0 ? first * (place + 1) : now === first ? -first * (place + 1) : "";
        writeState(box.id + ".sort", order);
        update();
      });
    });

    const filters = element("div", { className: "filters" });
    if (box.hasAttribute("data-filter")) {
      const label = "Filter: " + table.caption.textContent.trim();
      const input = element("input", { type: "search", placeholder: "Filter these rows" });
      input.setAttribute("aria-label", label);
      input.addEventListener("input", () => {
        query = input.value;
        writeState(box.id + ".q", query);
        update();
      });
      filters.append(input);
      const selects = [];
      heads.forEach((head, place) => {
        const values = new Set(rows.map((row) => String(row.keys[place] ?? "")));
        const most = head.hasAttribute("data-choices") ? 200 : head.matches(".text") ? FEW : 0;
        if (values.size < 2 || values.size > most || (values.size === rows.length && !head.hasAttribute("data-choices"))) return;
        const title = head.textContent.trim();
        const select = element("select", {}, new Option(title + ": all", "\u0000"));
        select.setAttribute("aria-label", title);
        for (const value of [...values].sort(collator.compare)) select.add(new Option(value || "–", value));
        select.addEventListener("change", () => {
          if (select.value === "\u0000") picked.delete(place);
          else picked.set(place, select.value);
          writeState(box.id + "." + place, picked.has(place) ? "=" + select.value : "");
          update();
        });
        filters.append(select);
        selects.push([place, select]);
      });
      filters.append(output);
      box.prepend(filters);
      box.restore = (state) => {
        query = input.value = state.get(box.id + ".q") || "";
        for (const [place, select] of selects) {
          const value = state.get(box.id + "." + place);
          picked.delete(place);
          select.value = "\u0000";
          if (value !== null) {
            select.value = value.slice(1);
            if (select.selectedIndex < 0) select.value = "\u0000";
            else picked.set(place, value.slice(1));
          }
        }
      };
    }

    const end = element("div", {});
    table.parentNode.append(end);
    new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting) && count < shown.length) addRows();
    }, { root: null, rootMargin: "600px" }).observe(end);

    function restore() {
      const state = readState();
      order = Number(state.get(box.id + ".sort")) || "";
      if (Math.abs(order) > heads.length) order = "";
      if (box.restore) box.restore(state);
    }

    window.addEventListener("hashchange", () => {
      if (!location.hash.startsWith("#~")) return;
      restore();
      update();
    });
    restore();
    if (rows.length > STEP || order || query || picked.size) update();
    else {
      count = rows.length;
      output.textContent = rows.length.toLocaleString("en") + " rows";
    }
  }

  function copyButton(box) {
    const button = element("button", { type: "button", className: "small", textContent: "Copy" });
    button.addEventListener("click", async () => {
      const text = box.querySelector("pre").textContent;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        const area = element("textarea", { value: text });
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
      }
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    box.append(button);
  }

  // A place within something folded is opened.
  function openTarget() {
    if (location.hash.length < 2) return;
    if (location.hash.startsWith("#~")) { // a link to some rows of a table
      const name = [...readState().keys()][0] || "";
      return void document.getElementById(name.slice(0, name.lastIndexOf(".")))?.scrollIntoView();
    }
    let place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    for (let each = place; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    place.scrollIntoView();
  }

  // What is unfolded and wider than its place is scrolled, so the keyboard must reach it.
  function reach(fold) {
    const wide = [...fold.querySelectorAll(".inside")].filter((inside) => inside.scrollWidth > inside.clientWidth);
    for (const inside of wide) inside.tabIndex = 0;
  }

  document.addEventListener("toggle", (event) => event.target.open && reach(event.target), true);
  document.querySelectorAll("details[open]").forEach(reach);
  document.querySelectorAll("[data-table]").forEach(enhance);
  document.querySelectorAll(".copyable").forEach(copyButton);
  window.addEventListener("hashchange", openTarget);
  openTarget();
})();
