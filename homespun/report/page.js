// Niceties only: the page reads well without this. Hovering or touching a chart shows the numbers under the pointer.
"use strict";
for (const area of document.querySelectorAll("rect.reader")) {
  const svg = area.ownerSVGElement;
  const data = JSON.parse(area.dataset.points);
  const make = (name) => svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
  const rule = make("path");
  rule.setAttribute("class", "rule");
  const marks = data.lines.map((line) => {
    const mark = make("circle");
    mark.setAttribute("class", "mark dot-" + line.style);
    mark.setAttribute("r", "4");
    return mark;
  });
  const box = document.createElement("div");
  box.className = "read-out";
  box.hidden = true;
  svg.parentNode.classList.add("has-read-out");
  svg.parentNode.appendChild(box);
  const nearest = (places, x) => {
    let low = 0, high = places.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (places[middle] < x) low = middle; else high = middle;
    }
    return Math.abs(places[low] - x) <= Math.abs(places[high] - x) ? low : high;
  };
  const show = (event) => {
    const frame = svg.getBoundingClientRect();
    const x = (event.clientX - frame.left) / frame.width * svg.viewBox.baseVal.width;
    box.replaceChildren();
    let closest = null;
    data.lines.forEach((line, index) => {
      const place = nearest(line.x, x);
      marks[index].setAttribute("cx", line.x[place]);
      marks[index].setAttribute("cy", line.y[place]);
      if (closest === null || Math.abs(line.x[place] - x) < Math.abs(closest.x - x)) {
        closest = { x: line.x[place], at: line.at[place] };
      }
      const row = document.createElement("div");
      row.textContent = line.name + " " + line.value[place];
      box.appendChild(row);
    });
    const head = document.createElement("strong");
    head.textContent = closest.at + " " + data.unit;
    box.prepend(head);
    rule.setAttribute("d", "M" + closest.x + " " + data.top + "V" + data.bottom);
    svg.classList.add("reading");
    box.hidden = false;
    const share = closest.x / svg.viewBox.baseVal.width;
    box.style.left = share < 0.5 ? share * 100 + 2 + "%" : "auto";
    box.style.right = share < 0.5 ? "auto" : (1 - share) * 100 + 2 + "%";
  };
  area.addEventListener("pointermove", show);
  area.addEventListener("pointerdown", show);
  area.addEventListener("pointerleave", () => { svg.classList.remove("reading"); box.hidden = true; });
}
