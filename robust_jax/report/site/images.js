// The image browser: filters, order, keys and enlarged images.
"use strict";
(() => {
  const section = document.querySelector("section.images");
  const list = section && section.querySelector(".cards");
  if (!list) return;
  const form = section.querySelector(".filters");
  const count = section.querySelector(".count");
  const dialog = section.querySelector("dialog");
  const enlarged = dialog.querySelector(".enlarged");
  const cards = [...list.children];
  const words = {
    broken: "broken", wrong: "wrong without an attack", holds: "that hold",
  };
  let shown = cards;
  let current = cards[0];
  let large = null;

  const opener = (card) => card.querySelector(".pictures");
  const number = (card, name) =>
    card.dataset[name] === "" ? NaN : Number(card.dataset[name]);

  function counted() {
    const parts = Object.keys(words).map((outcome) => {
      const of = (some) => some.filter((c) => c.dataset.outcome === outcome).length;
      return of(cards) ? `${of(shown)} of ${of(cards)} ${words[outcome]}` : "";
    });
    const kinds = parts.filter(Boolean).join(", ");
    count.textContent = `Showing ${shown.length} of ${cards.length} images: ${kinds}.`;
  }

  // What is no number comes last, whatever the direction; equals keep their order.
  function ordered(some, name, reverse) {
    if (!name) return reverse ? [...some].reverse() : some;
    return [...some].sort((a, b) => {
      const [x, y] = [number(a, name), number(b, name)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return reverse ? y - x : x - y;
    });
  }

  function select(card) {
    opener(current).tabIndex = -1;
    current = card;
    opener(current).tabIndex = 0;
  }

  function update() {
    const fits = (card) => ["label", "winner", "outcome"].every((name) =>
      ["", card.dataset[name]].includes(form.elements[name].value));
    const order = ordered(
      cards, form.elements.order.value, form.elements.reverse.checked);
    shown = order.filter(fits);
    for (const card of order) {
      card.hidden = !fits(card);
      list.append(card);
    }
    if (shown.length) select(shown[0]);
    counted();
  }

  function columns() {
    const top = shown[0].offsetTop;
    const next = shown.findIndex((card) => card.offsetTop > top);
    return next < 0 ? shown.length : next;
  }

  function enlarge(card) {
    select(card);
    large = card;
    enlarged.replaceChildren(...[...card.children].map((each) => each.cloneNode(true)));
    const pictures = enlarged.querySelector(".pictures");
    for (const name of ["role", "tabindex", "aria-label", "aria-haspopup"]) {
      pictures.removeAttribute(name);
    }
    if (!dialog.open) dialog.showModal();
  }

  // The image so many places on; none beyond the first and the last.
  function step(by) {
    const at = shown.indexOf(current) + by;
    return shown[Math.min(Math.max(at, 0), shown.length - 1)];
  }

  function moved(key) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -cards.length,
      End: cards.length };
    if (!dialog.open) [steps.ArrowUp, steps.ArrowDown] = [-columns(), columns()];
    return key in steps ? step(steps[key]) : null;
  }

  for (const card of cards) {
    const pictures = opener(card);
    pictures.setAttribute("role", "button");
    pictures.setAttribute("aria-haspopup", "dialog");
    pictures.setAttribute("aria-label", `Enlarge image ${card.dataset.at}`);
    pictures.tabIndex = -1;
    pictures.addEventListener("click", () => enlarge(card));
    pictures.addEventListener("focus", () => select(card));
  }
  list.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      enlarge(current);
      return;
    }
    const next = moved(event.key);
    if (next) {
      event.preventDefault();
      opener(next).focus();
    }
  });
  dialog.addEventListener("keydown", (event) => {
    const next = moved(event.key);
    if (next) {
      event.preventDefault();
      enlarge(next);
    }
  });
  dialog.addEventListener("click", (event) => {
    const by = event.target.dataset.step;
    if (event.target === dialog || by === "0") dialog.close();
    else if (by) enlarge(step(Number(by)));
  });
  // A dialog gives the focus back to the image that it was opened from.
  dialog.addEventListener("close", () => opener(large).focus());
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.reset();
  form.hidden = count.hidden = false;
  update();
})();
