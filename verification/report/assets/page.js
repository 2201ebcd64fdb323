"use strict";
(() => {
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const buttons = [...document.querySelectorAll("button[data-outcome]")];
  const cells = [...document.querySelectorAll("details.cell")];
  const texts = cells.map((cell) => cell.dataset.search);

  const isPressed = (button) => button.getAttribute("aria-pressed") === "true";

  const setPressed = (button, on) => button.setAttribute("aria-pressed", String(on));

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = buttons.filter(isPressed).map((button) => button.dataset.outcome);
    let matching = 0;
    cells.forEach((cell, index) => {
      const matches =
        (!outcomes.length || outcomes.includes(cell.dataset.outcome)) &&
        words.every((word) => texts[index].includes(word));
      if (cell.hidden === matches) cell.hidden = !matches;
      matching += matches;
    });
    count.textContent = `${matching} of ${cells.length} cells`;
  }

  function showAll() {
    search.value = "";
    buttons.forEach((button) => setPressed(button, false));
    filter();
  }

  function openCell(hash) {
    const cell = hash.startsWith("#cell-") && document.getElementById(hash.slice(1));
    if (!cell) return;
    if (cell.hidden) showAll();
    cell.open = true;
    cell.scrollIntoView();
    cell.querySelector("summary").focus({ preventScroll: true });
  }

  function moveFocus(offset) {
    const visible = cells.filter((cell) => !cell.hidden);
    if (!visible.length) return;
    const current = visible.findIndex((cell) => cell.contains(document.activeElement));
    const start = offset > 0 ? 0 : visible.length - 1;
    const next = current < 0 ? start : current + offset;
    const cell = visible[Math.max(0, Math.min(visible.length - 1, next))];
    cell.querySelector("summary").focus();
  }

  search.addEventListener("input", filter);
  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      setPressed(button, !isPressed(button));
      filter();
    }),
  );
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
    cells.forEach((cell) => (cell.open ||= cell.dataset.verdict !== "verified")),
  );
  openCell(location.hash);
})();
