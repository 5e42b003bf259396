"use strict";
(() => {
  const percent = (value) => value === null ? "–" : (100 * value).toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−");

  // Sortable tables: a button in every header; numbers by value, what is no number last.
  const value = (text) => {
    const plain = text.replace("−", "-").replace(/[,()*\u00a0]/g, "").replace(/^</, "").trim();
    return plain !== "" && !isNaN(Number(plain)) ? Number(plain) : null;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    table.querySelectorAll("thead th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row, place) => {
          const text = row.cells[column].textContent.trim();
          return { row, place, text, number: value(text), empty: text === "" || text === "–" };
        });
        const numbers = rows.some((r) => r.number !== null) && rows.every((r) => r.number !== null || r.empty);
        const order = (a, b) => {
          if (a.empty || b.empty) return a.empty - b.empty || a.place - b.place;
          const by = numbers ? a.number - b.number : a.text.localeCompare(b.text, "en");
          return (down ? -by : by) || a.place - b.place;
        };
        body.append(...rows.sort(order).map((r) => r.row));
      });
    });
  }

  // Numbers on hover, touch and focus.
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  document.body.append(tip);
  const hide = () => { tip.style.display = "none"; };
  const show = (point) => {
    const at = point.getBoundingClientRect();
    tip.textContent = point.dataset.said;
    tip.style.display = "block";
    const left = at.left + at.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${window.scrollX + Math.max(4, Math.min(left, document.documentElement.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${window.scrollY + at.top - tip.offsetHeight - 8}px`;
  };
  const speak = (point) => {
    const title = point.querySelector("title");
    point.dataset.said = title.textContent;
    title.remove();
    point.setAttribute("aria-label", point.dataset.said);
    point.addEventListener("pointerenter", () => show(point));
    point.addEventListener("pointerleave", hide);
    point.addEventListener("click", () => show(point));
  };
  document.querySelectorAll(".hit").forEach(speak);

  // The event picker.
  const svg = (name, attributes, parent) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, text] of Object.entries(attributes)) made.setAttribute(key, text);
    parent.append(made);
    return made;
  };
  const draw = (box, path) => {
    box.replaceChildren();
    const known = path.filter(([, ar, car]) => ar !== null || car !== null);
    if (known.length === 0) { box.textContent = "There is no return in the event window."; return; }
    const wide = 640, high = 280, left = 52, right = 14, top = 12, bottom = 40;
    const all = known.flatMap(([, ar, car]) => [ar, car]).filter((v) => v !== null);
    const low = Math.min(0, ...all), top_value = Math.max(0, ...all), pad = 0.08 * (top_value - low || 0.01);
    const days = path.map(([day]) => day), first = days[0], last = days[days.length - 1];
    const x = (day) => left + (wide - left - right) * (day - first + 0.5) / (last - first + 1);
    const y = (v) => high - bottom - (high - top - bottom) * (v - low + pad) / (top_value - low + 2 * pad);
    const picture = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": "abnormal returns and CAR of the event" }, box);
    const label = (px, py, anchor, words) => { svg("text", { x: px, y: py, "text-anchor": anchor }, picture).textContent = words; };
    const raw = (top_value - low + 2 * pad) / 5, base = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((k) => k * base).find((k) => k >= raw);
    for (let k = Math.ceil((low - pad) / step); k * step <= top_value + pad; k += 1) {
      svg("line", { class: k === 0 ? "zero" : "grid", x1: left, x2: wide - right, y1: y(k * step), y2: y(k * step) }, picture);
      label(left - 6, y(k * step) + 4, "end", Number((100 * k * step).toPrecision(6)).toString().replace("-", "−"));
    }
    const gap = Math.max(1, Math.ceil((last - first) / 10));
    for (let day = Math.ceil(first / gap) * gap; day <= last; day += gap) label(x(day), high - bottom + 16, "middle", String(day).replace("-", "−"));
    label(left, high - 6, "start", "Trading days relative to day 0; bars AR, line CAR, %");
    if (first <= 0 && last >= 0) svg("line", { class: "day", x1: x(0), x2: x(0), y1: top, y2: high - bottom }, picture);
    const broad = Math.min(22, 0.6 * (wide - left - right) / (last - first + 1));
    for (const [day, ar] of path) {
      if (ar !== null) svg("rect", { class: "bar", x: x(day) - broad / 2, width: broad, y: Math.min(y(0), y(ar)), height: Math.abs(y(ar) - y(0)) }, picture);
    }
    const line = path.filter(([, , car]) => car !== null).map(([day, , car]) => `${x(day).toFixed(1)},${y(car).toFixed(1)}`).join(" ");
    svg("polyline", { class: "car", points: line }, picture);
    for (const [day, ar, car] of path) {
      if (ar === null && car === null) continue;
      const point = svg("circle", { class: "hit", cx: x(day), cy: y(car === null ? ar : car), r: 9 }, picture);
      svg("title", {}, point).textContent = `day ${String(day).replace("-", "−")}: AR ${percent(ar)} %, CAR ${percent(car)} %`;
      speak(point);
    }
  };
  for (const picker of document.querySelectorAll(".picker")) {
    const events = JSON.parse(picker.querySelector("script").textContent);
    const choice = picker.querySelector("select"), facts = picker.querySelector("dl"), box = picker.querySelector(".path");
    const previous = picker.querySelector(".previous"), next = picker.querySelector(".next");
    events.forEach((event, i) => {
      const option = document.createElement("option");
      option.value = String(i);
      option.textContent = event.label;
      choice.append(option);
    });
    const pick = () => {
      const event = events[Number(choice.value)];
      facts.replaceChildren(...event.facts.flatMap(([name, text]) => {
        const term = document.createElement("dt"), said = document.createElement("dd");
        term.textContent = name;
        said.textContent = text;
        return [term, said];
      }));
      draw(box, event.path);
      previous.disabled = choice.selectedIndex === 0;
      next.disabled = choice.selectedIndex === events.length - 1;
    };
    const move = (by) => () => { choice.selectedIndex += by; pick(); };
    choice.addEventListener("change", pick);
    previous.addEventListener("click", move(-1));
    next.addEventListener("click", move(1));
    pick();
    picker.hidden = false;
  }
})();
