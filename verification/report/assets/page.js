"use strict";
(() => {
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const list = document.getElementById("list");
  const more = document.getElementById("more");
  const buttons = [...document.querySelectorAll("button[data-outcome]")];
  // The rows of a large report are made when they are shown. Those of others are in the page.
  const packed = JSON.parse(document.getElementById("packed")?.textContent ?? "null");
  const details = document.getElementsByClassName("packed-details");
  const rows = packed
    ? packed.rows.map(([id, outcome, verdict, note, words], index) => ({
        id,
        outcome,
        text: [id, outcome, verdict, ...words.map((word) => packed.texts[word])]
          .join(" ")
          .toLowerCase(),
        element: null,
        make: () => makeCell(index, id, outcome, verdict, note),
      }))
    : [...list.children].map((element) => ({
        id: element.id.slice("cell-".length),
        outcome: element.dataset.outcome,
        text: element.dataset.search,
        element,
      }));
  const byId = new Map(rows.map((row) => [row.id, row]));
  const shownAtOnce = packed ? packed.shown : rows.length;
  let limit = shownAtOnce;
  let shown = packed ? [] : rows;

  const isPressed = (button) => button.getAttribute("aria-pressed") === "true";

  const setPressed = (button, on) => button.setAttribute("aria-pressed", String(on));

  function tag(name, attributes, ...children) {
    const element = Object.assign(document.createElement(name), attributes);
    element.append(...children);
    return element;
  }

  function makeCell(index, id, outcome, verdict, note) {
    const [sign, title] = packed.outcomes[outcome];
    const mark = tag("span", { className: `mark ${outcome}` });
    mark.append(tag("span", { ariaHidden: "true" }, sign), ` ${title}`);
    const summary = tag("summary", {}, mark, " ", tag("b", {}, id), " ", tag("small", {}, note));
    const cell = tag("details", { className: `cell ${outcome}`, id: `cell-${id}` }, summary);
    cell.dataset.verdict = verdict;
    cell.dataset.outcome = outcome;
    cell.addEventListener("toggle", () => fill(cell, index), { once: true });
    return cell;
  }

  // Each text has the details of `packed.chunk` cells: a JSON list, compressed, in base64.
  async function fill(cell, index) {
    const text = details[Math.floor(index / packed.chunk)].textContent;
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const cells = await new Response(stream).json();
    cell.insertAdjacentHTML("beforeend", cells[index % packed.chunk]);
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = buttons.filter(isPressed).map((button) => button.dataset.outcome);
    const matching = rows.filter(
      (row) =>
        (!outcomes.length || outcomes.includes(row.outcome)) &&
        words.every((word) => row.text.includes(word)),
    );
    shown = matching.slice(0, limit);
    list.replaceChildren(...shown.map((row) => (row.element ??= row.make())));
    const part = shown.length < matching.length ? `, the first ${shown.length} are shown` : "";
    count.textContent = `${matching.length} of ${rows.length} cells${part}`;
    if (more) more.hidden = !part;
  }

  function changeFilter() {
    limit = shownAtOnce;
    filter();
  }

  function showAll() {
    search.value = "";
    buttons.forEach((button) => setPressed(button, false));
    changeFilter();
  }

  function openCell(hash) {
    const row = hash.startsWith("#cell-") && byId.get(decodeURIComponent(hash).slice(6));
    if (!row) return;
    if (!shown.includes(row)) showAll();
    if (!shown.includes(row)) {
      search.value = row.id;
      changeFilter();
    }
    row.element.open = true;
    row.element.scrollIntoView();
    row.element.querySelector("summary").focus({ preventScroll: true });
  }

  function moveFocus(offset) {
    if (!shown.length) return;
    const current = shown.findIndex((row) => row.element.contains(document.activeElement));
    const start = offset > 0 ? 0 : shown.length - 1;
    const next = current < 0 ? start : current + offset;
    const row = shown[Math.max(0, Math.min(shown.length - 1, next))];
    row.element.querySelector("summary").focus();
  }

  search.addEventListener("input", changeFilter);
  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      setPressed(button, !isPressed(button));
      changeFilter();
    }),
  );
  more?.addEventListener("click", () => {
    limit += shownAtOnce;
    filter();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      showAll();
      document.activeElement.blur();
    } else if (event.target === search) {
      if (event.key === "Enter") {
        event.preventDefault(); // otherwise the key also opens the cell that gets the focus
        moveFocus(1);
      }
    } else if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j" || event.key === "k") {
      moveFocus(event.key === "j" ? 1 : -1);
    } else if (event.key === "f") {
      const button = buttons.find((candidate) => candidate.dataset.outcome === "fails");
      if (button) button.click();
    }
  });
  addEventListener("hashchange", () => openCell(location.hash));
  // A link to the current hash does not cause a hashchange event.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#cell-"]');
    if (link && link.getAttribute("href") === location.hash) openCell(location.hash);
  });
  addEventListener("beforeprint", () =>
    shown.forEach(({ element }) => (element.open ||= element.dataset.verdict !== "verified")),
  );
  if (packed) filter();
  openCell(location.hash);
})();
