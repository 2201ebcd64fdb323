"use strict";
(() => {
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const buttons = [...document.querySelectorAll("button[data-outcome]")];
  const cells = [...document.querySelectorAll("details.cell")];
  const texts = cells.map((cell) => cell.dataset.search);

  const pressed = () =>
    buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.outcome);

  const press = (button, on) => button.setAttribute("aria-pressed", String(on));

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = pressed();
    let shown = 0;
    cells.forEach((cell, i) => {
      const fits =
        (!outcomes.length || outcomes.includes(cell.dataset.outcome)) &&
        words.every((word) => texts[i].includes(word));
      if (cell.hidden === fits) cell.hidden = !fits;
      shown += fits;
    });
    count.textContent = `${shown} of ${cells.length} cells`;
  }

  function all() {
    search.value = "";
    buttons.forEach((button) => press(button, false));
    filter();
  }

  function open(hash) {
    const cell = hash.startsWith("#cell-") && document.getElementById(hash.slice(1));
    if (!cell) return;
    if (cell.hidden) all();
    cell.open = true;
    cell.scrollIntoView();
    cell.querySelector("summary").focus({ preventScroll: true });
  }

  function step(by) {
    const visible = cells.filter((cell) => !cell.hidden);
    if (!visible.length) return;
    const at = visible.findIndex((cell) => cell.contains(document.activeElement));
    const next = at < 0 ? (by > 0 ? 0 : visible.length - 1) : at + by;
    const cell = visible[Math.max(0, Math.min(visible.length - 1, next))];
    cell.querySelector("summary").focus();
  }

  search.addEventListener("input", filter);
  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      press(button, button.getAttribute("aria-pressed") !== "true");
      filter();
    }),
  );
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      all();
      document.activeElement.blur();
    } else if (event.target === search) {
      if (event.key === "Enter") {
        event.preventDefault(); // or the key also opens the cell that it moves to
        step(1);
      }
    } else if (event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j" || event.key === "k") {
      step(event.key === "j" ? 1 : -1);
    } else if (event.key === "f") {
      const button = buttons.find((one) => one.dataset.outcome === "fails");
      if (button) button.click();
    }
  });
  addEventListener("hashchange", () => open(location.hash));
  // A link to where one is already is no change of the hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#cell-"]');
    if (link && link.getAttribute("href") === location.hash) open(location.hash);
  });
  addEventListener("beforeprint", () =>
    cells.forEach((cell) => (cell.open ||= cell.dataset.verdict !== "verified")),
  );
  open(location.hash);
})();
