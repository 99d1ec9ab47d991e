// Tables sort by a click or Enter on a head; without this script they stay as they were written.
for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const name = head.querySelector(".name");
    const button = document.createElement("button");
    button.type = "button";
    while (name.firstChild) button.append(name.firstChild);
    name.append(button);
    button.addEventListener("click", () => {
      const falls = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falls ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key || row.cells[column].textContent.trim();
      const rows = [...table.tBodies[0].rows];
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const [p, q] = [Number(x), Number(y)];
        const noX = x === "" || x === "–", noY = y === "" || y === "–";
        if (noX || noY) return noX - noY; // what has no value stays at the end
        const found = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
        return falls ? -found : found;
      };
      table.tBodies[0].append(...rows.sort(order));
    });
  });
}
