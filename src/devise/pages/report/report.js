"use strict";
(() => {
  const make = (tag, facts, ...inside) => {
    const made = Object.assign(document.createElement(tag), facts);
    made.append(...inside);
    return made;
  };

  // Tables: a click on a header sorts by its column, a second click reverses the order.
  const valueOf = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replaceAll(",", ""));
    return /^[\d.,]+$/.test(text) ? number : text === "-" ? -1 : text.toLowerCase();
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", textContent: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const body = table.tBodies[0];
        const numeric = typeof valueOf(body.rows[0], column) === "number";
        const now = head.getAttribute("aria-sort");
        const way = now ? (now === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", way);
        const sign = way === "ascending" ? 1 : -1;
        const rows = [...body.rows].map((row, place) => ({ row, place, value: valueOf(row, column) }));
        rows.sort((a, b) => sign * compare(a.value, b.value) || a.place - b.place);
        body.append(...rows.map((one) => one.row));
      });
    });
  }

  // Photos: filtered, a screenful at a time.
  const holder = document.getElementById("cards");
  if (holder) {
    const step = 12;
    const cards = [...holder.children];
    let limit = step;
    const option = (value, text) => make("option", { value, textContent: text });
    const verdicts = make("select", {}, option("", "all"), option("right", "first guess right"),
      option("near", "first guess near"), option("far", "first guess far"));
    const names = [...new Set(cards.map((card) => card.dataset.class))].sort((a, b) => a.localeCompare(b));
    const classes = make("select", {}, option("", "all"), ...names.map((name) => option(name, name)));
    const counter = make("span", { className: "soft", role: "status" });
    const more = make("button", { type: "button", className: "more-button" });
    const show = () => {
      const fit = cards.filter((card) => (!verdicts.value || card.dataset.verdict === verdicts.value)
        && (!classes.value || card.dataset.class === classes.value));
      cards.forEach((card) => { card.hidden = true; });
      fit.slice(0, limit).forEach((card) => { card.hidden = false; });
      const shown = Math.min(limit, fit.length);
      counter.textContent = `${shown} of ${fit.length} shown`;
      more.textContent = `Show ${Math.min(2 * step, fit.length - shown)} more`;
      more.hidden = shown === fit.length;
    };
    for (const choice of [verdicts, classes]) {
      choice.addEventListener("change", () => { limit = step; show(); });
    }
    more.addEventListener("click", () => {
      const next = limit;
      limit += 2 * step;
      show();
      const first = [...cards].filter((card) => !card.hidden)[next];
      if (first) { first.tabIndex = -1; first.focus({ preventScroll: true }); }
    });
    holder.before(make("div", { className: "pick" }, make("label", {}, "Show ", verdicts),
      make("label", {}, "of class ", classes), counter));
    holder.after(more);
    show();
  }
})();
