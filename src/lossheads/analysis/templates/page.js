"use strict";
// What the page does beyond being read: it opens what a link points into, opens all for print,
// says which tables are wider than their box, and filters claims. Without it everything is there, and the filter is not shown.
(() => {
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });

  const cut = new ResizeObserver(boxes => {
    for (const { target } of boxes) {
      target.classList.toggle("cut", target.scrollWidth > target.clientWidth + 1);
    }
  });
  for (const box of document.querySelectorAll(".scroll")) cut.observe(box);

  const form = document.getElementById("filter");
  if (!form) return;
  const claims = [...document.querySelectorAll("section.claim")].map(section => ({
    verdict: section.dataset.verdict,
    text: section.textContent.toLowerCase(),
    parts: [section, ...document.querySelectorAll(`[data-claim="${CSS.escape(section.id)}"]`)],
  }));
  const filter = () => {
    const asked = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = form.elements.verdict.value;
    let shown = 0;
    for (const claim of claims) {
      const fits = (!verdict || claim.verdict === verdict) &&
        asked.every(word => claim.text.includes(word));
      for (const part of claim.parts) part.hidden = !fits;
      shown += fits;
    }
    form.elements.shown.value = `${shown} of ${claims.length} claims`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", event => event.preventDefault());
  filter();
})();
