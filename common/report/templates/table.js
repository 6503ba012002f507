// Tables with class "sortable" sort by a click on a head (again: the other way round); an input with data-filters
// hides the rows of that table which lack one of its words. Rows without a value stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const text = (row, column) => (row.cells[column].dataset.value ?? row.cells[column].textContent).trim();
  const number = (value) => Number(value.replaceAll(",", ""));
  const sort = (column) => {
    const up = heads[column].getAttribute("aria-sort") === "descending"
      || (!heads[column].hasAttribute("aria-sort") && !heads[column].classList.contains("number"));
    const rows = [...body.rows];
    const known = rows.map((row) => text(row, column)).filter((value) => value !== "");
    const numeric = known.every((value) => !Number.isNaN(number(value)));
    rows.sort((a, b) => {
      const [x, y] = [text(a, column), text(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return (up ? 1 : -1) * (numeric ? number(x) - number(y) : x.localeCompare(y));
    });
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows);
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
}
for (const input of document.querySelectorAll("input[data-filters]")) {
  const rows = [...document.getElementById(input.dataset.filters).tBodies[0].rows];
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    document.getElementById(`${input.dataset.filters}-count`).textContent =
      `${rows.filter((row) => !row.hidden).length} of ${rows.length} ${rows.length === 1 ? "row" : "rows"}`;
  };
  input.addEventListener("input", show);
  show();
}
