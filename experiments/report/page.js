"use strict";
function sortBy(button) {
  const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
  const column = head.cellIndex, up = head.getAttribute("aria-sort") !== "ascending";
  for (const th of table.tHead.rows[0].cells) th.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = Array.from(body.rows, row => [row.cells[column].dataset.value, row]);
  const numeric = head.classList.contains("number");
  rows.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
    return up ? order : -order;
  });
  body.append(...rows.map(([, row]) => row));
}
function stage(scene) {
  const box = scene.querySelector(".stage"), frame = box.querySelector(".frame"), range = box.querySelector("input");
  const shots = scene.querySelectorAll(".shots img.whole");
  const cut = value => { range.value = value; frame.style.setProperty("--cut", range.value + "%"); };
  const show = select => {
    const image = frame.querySelector("." + select.dataset.side), from = shots[select.value];
    image.src = from.src;
    image.alt = from.alt;
  };
  const drag = event => {
    const edge = frame.getBoundingClientRect();
    cut(100 * (event.clientX - edge.left) / edge.width);
  };
  range.addEventListener("input", () => cut(range.value));
  frame.addEventListener("pointerdown", event => { frame.setPointerCapture(event.pointerId); drag(event); });
  frame.addEventListener("pointermove", event => { if (event.buttons) drag(event); });
  for (const select of box.querySelectorAll("select")) {
    select.addEventListener("change", () => show(select));
    show(select);
  }
  cut(50);
  box.hidden = false;
}
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => sortBy(button));
for (const scene of document.querySelectorAll(".scene")) stage(scene);
const toggles = document.querySelector(".toggles");
if (toggles) {
  const gallery = document.getElementById("gallery");
  const apply = box => gallery.classList.toggle("hide-" + box.value, !box.checked);
  for (const box of toggles.querySelectorAll("input")) {
    box.addEventListener("change", () => apply(box));
    apply(box);
  }
  toggles.hidden = false;
}
