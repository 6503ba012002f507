// Two runs side by side: the fields of their recipes that differ, and the paired difference where they hold out the
// same rows.
const known = JSON.parse(document.getElementById("known").textContent);
const chosen = ["first", "second"].map((id) => document.getElementById(id));
const shown = (value) => (Array.isArray(value) ? value.join(", ") : String(value)) || "none";
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(4);
const difference = (a, b) => {
  const there = known.pairs[`${a} ${b}`];
  const back = known.pairs[`${b} ${a}`];
  return there ?? (back && [-back[0], -back[2], -back[1]]);
};
const verdict = (low, high) => (low > 0 || high < 0 ? "beyond noise" : "not beyond noise");
const inWords = (a, b) => {
  if (a === b) return "The same run twice: choose another.";
  const of = [a, b].map((id) => known.scores[id]);
  if (!of[0] || !of[1]) return "One of them has no score.";
  const scores = `${a} ${of[0][0].toFixed(4)}, ${b} ${of[1][0].toFixed(4)}`;
  const found = difference(a, b);
  if (!found) return `${scores}. No paired difference: they hold out other rows, or are not among the best of these.`;
  const [mean, low, high] = found;
  return `${scores}: difference ${signed(mean)}, 95% interval ${signed(low)} to ${signed(high)} (paired bootstrap), ${verdict(low, high)}.`;
};
const compare = () => {
  const [a, b] = chosen.map((select) => select.value);
  document.getElementById("difference").textContent = inWords(a, b);
  const table = document.getElementById("fields");
  [a, b].forEach((id, place) => { table.tHead.rows[0].cells[place + 1].textContent = id; });
  const [here, there] = [known.recipes[a], known.recipes[b]];
  const rows = Object.keys(here).filter((name) => shown(here[name]) !== shown(there[name])).map((name) => {
    const row = document.createElement("tr");
    for (const text of [name.replaceAll("_", " "), shown(here[name]), shown(there[name])])
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
};
chosen.forEach((select) => select.addEventListener("change", compare));
compare();
