// Draws charts with Vega and gives the table of runs its order, search and filters,
// all from what the page holds.
"use strict";
(() => {
  const options = { ast: true, renderer: "svg", actions: false };
  for (const data of document.querySelectorAll("script.spec")) {
    const place = document.getElementById(data.dataset.for);
    const spec = JSON.parse(data.textContent);
    Object.assign(spec, { width: "container", description: data.dataset.title });
    spec.config.background = null;
    spec.autosize = { type: "fit-x", contains: "padding" };
    const draw = () => window.vegaEmbed(place, spec, options)
      .catch((error) => { place.textContent = String(error); });
    const closed = place.closest("details:not([open])");  // It has no width yet.
    closed ? closed.addEventListener("toggle", draw, { once: true }) : draw();
  }
  const runs = document.getElementById("runs");
  if (runs) {
    const table = new window.DataTable(runs, { paging: false, order: [] });
    const filters = [...document.querySelectorAll(".filters select")];
    const text = (row, filter) =>
      table.row(row).node().cells[Number(filter.dataset.column)].textContent.trim();
    table.search.fixed("filters", (searched, data, row) =>
      filters.every((filter) => !filter.value || text(row, filter) === filter.value));
    for (const filter of filters) {
      filter.addEventListener("change", () => table.draw());
    }
    document.querySelector(".filters").hidden = false;
    document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  }
})();
