// Charts drawn by Vega, the table of runs by DataTables, from what the page holds.
"use strict";
(() => {
  const charts = { ast: true, renderer: "svg", actions: false };
  for (const spec of document.querySelectorAll("script.spec")) {
    const place = document.getElementById(spec.dataset.for);
    window.vegaEmbed(place, JSON.parse(spec.textContent), charts)
      .catch((error) => { place.textContent = String(error); });
  }
  const runs = document.getElementById("runs");
  if (runs) {
    new window.DataTable(runs, { paging: false, order: [], info: false });
  }
})();
