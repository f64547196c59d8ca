"use strict";
// The data's short keys. An item: i id, v variant, s status, b and a the URLs of before and after,
// z [height, width], d seed, p prompt, x settings, e error, r repairs, n normalised, y drawn,
// c categories, k scores of the picture, g instances [id, category, survival, scores ...],
// w worst survival, t shift, o instances whose pixels are the source's, m attempts that were not
// published [URL, number, seed, best, reasons]: the best is `a` where nothing was. Pictures within the page belong to the first items, in their order.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 48;
  const $ = (id) => document.getElementById(id);
  const items = data.items.map((item, index) => ({ ...item, index }));
  const state = { text: "", statuses: new Set([0, 1, 2]), repaired: false, category: "", order: "worst", page: 0, contours: false, score: "", from: null, to: null };
  const marked = new Set(); // the items that are in the list to save
  let shown = items;
  let opened = null; // position in `shown`

  // What a text holds is never read as HTML: nodes are made one by one.
  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "class") node.className = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }
  function svg(tag, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }
  const counted = (number) => number.toLocaleString("en");
  const fixed = (value, digits = 2) => (value === undefined || value === null ? "–" : value.toFixed(digits));
  // A score as short as it can be: 0.971, 12.4, 1,204.
  const short = (value) => (value === undefined || value === null ? "–" : Math.abs(value) >= 100 ? counted(Math.round(value)) : String(Number(value.toFixed(Math.abs(value) >= 10 ? 1 : 3))));
  const words = (name) => name.replaceAll(".", " · ").replaceAll("_", " ");
  const nameOf = (item) => item.i + (item.v ? ` (variant ${item.v})` : "");
  const tone = (survival) =>
    survival === undefined || survival === null ? "none" : survival < data.threshold ? "bad" : survival < (1 + data.threshold) / 2 ? "fair" : "good";

  // Filters

  function matches(item) {
    if (!state.statuses.has(item.s) || (state.repaired && !item.r)) return false;
    if (state.category !== "" && !(item.c || []).includes(Number(state.category))) return false;
    if (!inRange(item)) return false;
    if (!state.text) return true;
    item.text ??= [nameOf(item), data.prompts[item.p] ?? "", item.e ?? "", ...(item.r ?? [])].join("\n").toLowerCase();
    return state.text.split(/\s+/).every((word) => item.text.includes(word));
  }
  // What a score has no number for fits no range.
  function inRange(item) {
    if (state.from === null && state.to === null) return true;
    const value = state.score === "worst" ? item.w : state.score === "shift" ? item.t : (item.k ?? [])[Number(state.score)];
    return value !== undefined && value !== null && value >= (state.from ?? -Infinity) && value <= (state.to ?? Infinity);
  }
  const orders = {
    worst: (a, b) => a.index - b.index,
    best: (a, b) => b.index - a.index,
    shift: (a, b) => (b.t ?? -1) - (a.t ?? -1) || a.index - b.index,
    name: (a, b) => (a.i < b.i ? -1 : a.i > b.i ? 1 : (a.v ?? 0) - (b.v ?? 0)),
  };
  function filter() {
    shown = items.filter(matches).sort(orders[state.order]);
    state.page = 0;
    render();
  }

  // Cards

  function render() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    state.page = Math.min(Math.max(0, state.page), pages - 1);
    const first = state.page * PAGE;
    const part = shown.slice(first, first + PAGE);
    $("grid").replaceChildren(...part.map((item, n) => make("li", null, card(item, first + n))));
    if (!part.length) $("grid").append(make("li", { class: "nothing" }, items.length ? "No picture fits these filters." : "This run has no pictures."));
    const range = pages > 1 ? `, ${counted(first + 1)} to ${counted(first + part.length)} shown` : "";
    $("count").textContent = shown.length === items.length ? `All ${counted(items.length)} pictures${range}` : `${counted(shown.length)} of ${counted(items.length)} pictures${range}`;
    $("pager").hidden = pages === 1;
    $("pages").textContent = counted(pages);
    $("page").max = pages;
    $("page").value = state.page + 1;
    $("page-before").disabled = state.page === 0;
    $("page-after").disabled = state.page === pages - 1;
    const listed = marked.size || shown.length;
    $("save-list").textContent = marked.size ? `Save the list of ${counted(listed)} marked` : `Save the list of ${counted(listed)} shown`;
    $("save-list").disabled = !listed;
  }
  // Ids, one a line: what `sv2r convert --only @FILE` takes.
  function saveList() {
    const chosen = marked.size ? items.filter((item) => marked.has(item)) : shown;
    const ids = [...new Set(chosen.map((item) => item.i))];
    const link = make("a", { href: URL.createObjectURL(new Blob([ids.join("\n") + "\n"], { type: "text/plain" })), download: "selection.txt" });
    link.click();
    URL.revokeObjectURL(link.href);
  }
  function mark(item) {
    if (!marked.delete(item)) marked.add(item);
    render();
    if (opened !== null) showMark(item);
  }
  function showMark(item) {
    $("mark").setAttribute("aria-pressed", String(marked.has(item)));
    $("mark").textContent = marked.has(item) ? "Marked" : "Mark";
  }
  function turn(page) {
    state.page = page;
    render();
    $("gallery").scrollIntoView();
  }
  function card(item, position) {
    const status = data.statuses[item.s];
    const slash = item.i.lastIndexOf("/");
    const caption = make("span", { class: "caption" },
      make("span", { class: "name" }, item.i.slice(slash + 1) + (item.v ? ` · variant ${item.v}` : "")),
      make("span", { class: "folder" }, slash > 0 ? item.i.slice(0, slash) : ""));
    const reason = item.e?.startsWith(`${item.i}: `) ? item.e.slice(item.i.length + 2) : item.e;
    if (reason) caption.append(make("span", { class: "reason" }, reason));
    else if (item.w !== undefined) caption.append(meter(item.w));
    const notes = [item.t === undefined ? "" : `shift ${fixed(item.t)} px`, item.r ? "repaired" : ""].filter(Boolean);
    if (notes.length && !item.e) caption.append(make("span", { class: "folder" }, notes.join(" · ")));
    const label = [nameOf(item), status, item.w === undefined ? "" : `worst instance ${fixed(item.w)}`, item.e ?? ""].filter(Boolean).join(", ");
    const button = make("button", { type: "button", class: "card", "aria-label": label, title: nameOf(item) }, thumbnail(item), caption);
    button.dataset.position = position;
    if (marked.has(item)) button.classList.add("marked");
    button.addEventListener("click", () => open(position));
    return button;
  }
  function meter(survival) {
    const bar = make("i", null);
    bar.style.setProperty("--value", survival);
    return make("span", { class: `meter tone-${tone(survival)}` }, bar, make("b", null, fixed(survival)), "worst");
  }
  function thumbnail(item) {
    const carried = data.pictures[item.index] ?? {};
    const box = make("span", { class: "picture" });
    const before = carried.b ?? item.b;
    const after = carried.a ?? item.a;
    if (!after) box.classList.add("only");
    for (const [name, url] of [["after", after], ["before", before]]) {
      if (!url) continue;
      const img = make("img", { class: name, src: url, alt: "", loading: "lazy", decoding: "async", draggable: "false" });
      img.addEventListener("error", () => {
        img.remove();
        if (name === "after" || !after) box.prepend(make("span", { class: "absent" }, "The picture is not there, or of a kind that browsers do not show."));
      });
      box.append(img);
    }
    if (!before && !after) box.append(make("span", { class: "absent" }, "no picture"));
    if (state.contours && carried.contours) box.append(outlines(item, "xMidYMid meet"));
    if (item.s) box.append(make("span", { class: `badge ${data.statuses[item.s]}` }, data.statuses[item.s]));
    if (before && after) scrub(box);
    return box;
  }
  // A mouse that moves over a card looks behind the picture; the viewer does the same for all.
  function scrub(box) {
    box.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse") return;
      const place = box.getBoundingClientRect();
      box.classList.add("scrub");
      box.style.setProperty("--at", (100 * (event.clientX - place.left)) / place.width);
    });
    box.addEventListener("pointerleave", () => {
      box.classList.remove("scrub");
      box.style.setProperty("--at", 0);
    });
  }

  // Contours

  const scored = () => data.columns.some((name) => name.startsWith("survival."));
  function outlines(item, fit) {
    const carried = data.pictures[item.index];
    const [height, width] = carried.grid;
    const survival = new Map((item.g ?? []).map((row) => [row[0], row[2]]));
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: fit, "aria-hidden": "true" });
    const lines = carried.contours.map(([id, path], n) => {
      const kind = (item.o ?? []).includes(id) ? "restored" : scored() ? tone(survival.get(id)) : "hue";
      const line = svg("path", { d: path, class: `contour ${kind}`, "data-id": id });
      line.style.setProperty("--hue", Math.round(((n * 0.618034) % 1) * 360));
      return [survival.get(id) ?? 2, svg("path", { d: path, class: "contour halo" }), line];
    });
    // Where two instances touch, the line of the worse one is seen.
    for (const [, halo, line] of lines.sort((a, b) => b[0] - a[0])) drawing.append(halo, line);
    const place = invented(item);
    if (place) {
      const step = (item.z ?? carried.z)[1] / width;
      const ring = { cx: place[0] / step, cy: place[1] / step, r: Math.max(8, Math.min(width, height) / 16) };
      drawing.append(svg("circle", { ...ring, class: "contour halo" }), svg("circle", { ...ring, class: "contour invented" }));
    }
    return drawing;
  }
  // Where the picture has structure that its source has not, if it is strong: [x, y] in pixels.
  function invented(item) {
    const figure = (name) => (item.k ?? [])[data.figures.indexOf(`invention.${name}`)];
    return figure("invention") > data.invention ? [figure("x"), figure("y")] : null;
  }
  function setContours(on) {
    state.contours = on;
    $("contours").checked = on;
    $("viewer-contours").checked = on;
    $("contour-legend").hidden = !(on && scored());
    render();
    if (opened !== null) drawOutlines(shown[opened]);
  }
  function drawOutlines(item) {
    const there = Boolean((data.pictures[item.index] ?? {}).contours);
    const fresh = state.contours && there ? outlines(item, "none") : svg("svg", {});
    fresh.id = "outlines";
    $("outlines").replaceWith(fresh);
    const chip = $("viewer-contours").parentElement;
    $("viewer-contours").disabled = !there;
    chip.title = there ? "" : "The contours of this picture are not in the page: sv2r report --embed N brings more";
    chip.lastChild.textContent = there ? "contours" : "no contours in the page";
  }
  function light(id) {
    const drawing = $("outlines");
    drawing.classList.toggle("dim", id !== null);
    for (const line of drawing.querySelectorAll("[data-id]")) line.classList.toggle("lit", Number(line.dataset.id) === id);
    for (const row of document.querySelectorAll(".instances tbody tr")) row.classList.toggle("lit", Number(row.dataset.id) === id);
  }

  // Viewer

  const viewer = $("viewer");
  const frame = $("frame");
  let zoom = 1;
  let size = [3, 4];

  function open(position) {
    if (position < 0 || position >= shown.length) return;
    opened = position;
    const item = shown[position];
    $("viewer-title").textContent = nameOf(item);
    $("position").textContent = `${counted(position + 1)} of ${counted(shown.length)}`;
    $("previous").disabled = position === 0;
    $("next").disabled = position === shown.length - 1;
    $("facts").replaceChildren(...facts(item));
    $("facts").scrollTop = 0;
    zoom = 1;
    const entering = !viewer.open;
    if (entering) viewer.showModal();
    show(item);
    if (entering) ($("slider").disabled ? $("close") : $("slider")).focus();
    drawOutlines(item);
    showMark(item);
    beginAtTheWorst(item);
    history.replaceState(null, "", `#picture=${encodeURIComponent(item.i)}${item.v ? `&variant=${item.v}` : ""}`);
  }
  function show(item) {
    const carried = data.pictures[item.index] ?? {};
    size = item.z ?? carried.z ?? [3, 4];
    frame.classList.toggle("only", !(item.a && item.b));
    $("tag-before").textContent = item.a || !item.b ? "before" : "source, nothing was published";
    $("tag-after").textContent = item.s === 1 ? "best attempt, not published" : item.b || !item.a ? "after" : "result, its source is not there";
    $("tag-before").hidden = !item.b;
    $("tag-after").hidden = !item.a;
    $("gone").hidden = true;
    load(item, $("before"), item.b, carried.b, "before the conversion");
    load(item, $("after"), item.a, carried.a, "after the conversion");
    $("slider").disabled = !(item.a && item.b);
    $("flip").disabled = $("slider").disabled;
    slide(item.a && item.b ? 50 : item.a ? 0 : 100);
    fit();
  }
  // Shows an attempt or a control map in the result's place, or the result again.
  function showInstead(item, url, name) {
    const carried = (data.pictures[item.index] ?? {}).a;
    load(item, $("after"), url ?? item.a, url ? null : carried, "after the conversion");
    $("tag-after").textContent = url ? name : item.s === 1 ? "best attempt, not published" : "after";
    if (!$("slider").disabled && Number($("slider").value) > 90) slide(50);
  }
  const attemptName = (number) => (number ? `retry ${number}` : "first attempt");
  // The file beside the page has every pixel; what the page carries stands in where it is gone.
  function load(item, img, url, carried, when) {
    img.hidden = !url;
    img.removeAttribute("src");
    if (!url) return;
    img.alt = `${nameOf(item)}, ${when}`;
    img.onload = () => {
      // The viewer may have been closed, or have gone on, before the file was there.
      if (item === shown[opened] && !item.z && img.naturalWidth) {
        size = [img.naturalHeight, img.naturalWidth];
        fit();
      }
    };
    img.onerror = () => {
      $("gone").hidden = false;
      $("gone").textContent = carried
        ? `The picture ${when} is not at ${decodeURIComponent(url)}, or of a kind that browsers do not show; this is a small copy.`
        : `The picture ${when} is not at ${decodeURIComponent(url)}, or of a kind that browsers do not show.`;
      img.onerror = null;
      if (carried) img.src = carried;
      else img.hidden = true;
    };
    img.src = url;
  }
  function fit() {
    const room = $("room");
    const style = getComputedStyle(room);
    const narrow = matchMedia("(max-width: 860px)").matches;
    const width = room.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = narrow ? innerHeight * 0.55 : room.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    const scale = Math.min(width / size[1], height / size[0]) * zoom;
    frame.style.width = `${size[1] * scale}px`;
    frame.style.height = `${size[0] * scale}px`;
    frame.classList.toggle("pixels", scale >= 3);
    frame.classList.toggle("zoomed", zoom > 1);
    $("zoom").textContent = zoom === 1 ? "Zoom: fit" : `Zoom: ${Number(zoom.toFixed(1))}×`;
  }
  // Enlarges about a point of the window: what is under it stays there.
  function zoomAt(wanted, x, y) {
    const old = frame.getBoundingClientRect();
    const [across, down] = [(x - old.left) / old.width, (y - old.top) / old.height];
    zoom = Math.min(32, Math.max(1, wanted));
    fit();
    const now = frame.getBoundingClientRect();
    $("room").scrollBy(now.left + across * now.width - x, now.top + down * now.height - y);
  }
  // Where an instance lies, as shares of the picture: [left, top, right, bottom]; null if unknown.
  function placeOf(item, id) {
    const carried = data.pictures[item.index];
    const path = carried?.contours?.find(([one]) => one === id)?.[1];
    if (!path) return null;
    const [xs, ys] = [[], []];
    let [x, y] = [0, 0];
    for (const [, kind, first, second] of path.matchAll(/([Mhv])(-?\d+)(?: (-?\d+))?/g)) {
      if (kind === "M") [x, y] = [Number(first), Number(second)];
      else if (kind === "h") x += Number(first);
      else y += Number(first);
      xs.push(x);
      ys.push(y);
    }
    const [height, width] = carried.grid;
    return [Math.min(...xs) / width, Math.min(...ys) / height, Math.max(...xs) / width, Math.max(...ys) / height];
  }
  // Enlarges the picture about an instance that is small in it, and brings it to the middle.
  function goTo(item, id) {
    const place = placeOf(item, id);
    if (!place) return;
    const [left, top, right, bottom] = place;
    const side = Math.max(right - left, bottom - top);
    zoom = side > 1 / 3 ? 1 : Math.min(8, Math.max(1, 0.5 / side));
    fit();
    const room = $("room");
    const [outer, inner] = [room.getBoundingClientRect(), frame.getBoundingClientRect()];
    if (!$("slider").disabled) slide(50 * (left + right));
    room.scrollBy(inner.left + ((left + right) / 2) * inner.width - outer.left - outer.width / 2, inner.top + ((top + bottom) / 2) * inner.height - outer.top - outer.height / 2);
  }
  function beginAtTheWorst(item) {
    const worst = (item.g ?? [])[0];
    if (worst && worst[2] !== null && worst[2] < data.threshold) goTo(item, worst[0]);
  }
  function slide(at) {
    const value = Math.min(100, Math.max(0, at));
    $("slider").value = value;
    $("slider").setAttribute("aria-valuetext", `${Math.round(value)} % before, ${Math.round(100 - value)} % after`);
    frame.style.setProperty("--at", value);
    $("tag-before").style.opacity = value < 12 ? 0 : 1;
    $("tag-after").style.opacity = value > 88 ? 0 : 1;
  }
  function flip() {
    if (!$("slider").disabled) slide(Number($("slider").value) < 100 ? 100 : 0);
  }
  function enlarge() {
    const room = $("room").getBoundingClientRect();
    zoomAt(zoom >= 8 ? 1 : 2 ** (Math.floor(Math.log2(zoom)) + 1), room.left + room.width / 2, room.top + room.height / 2);
  }
  // In an enlarged picture a drag moves the picture, but at the boundary, which it takes along.
  let panning = false;
  function grip(event) {
    const place = frame.getBoundingClientRect();
    const boundary = place.left + (place.width * Number($("slider").value)) / 100;
    panning = zoom > 1 && ($("slider").disabled || Math.abs(event.clientX - boundary) > 16);
    frame.classList.toggle("panning", panning);
    if (!panning) drag(event);
  }
  function drag(event) {
    if (event.pointerType === "touch" && zoom > 1) return;
    if (panning) return $("room").scrollBy(-event.movementX, -event.movementY);
    if ($("slider").disabled) return;
    const place = frame.getBoundingClientRect();
    slide((100 * (event.clientX - place.left)) / place.width);
  }

  // Facts

  function pairs(entries, mono = false) {
    const list = make("dl", { class: "pairs" });
    for (const [name, value] of entries) list.append(make("div", null, make("dt", null, name), make("dd", { class: mono ? "mono" : null }, value)));
    return list;
  }
  function part(title, ...children) {
    return make("section", null, make("h3", null, title), ...children);
  }
  function facts(item) {
    const status = data.statuses[item.s];
    const head = make("section", null, make("p", { class: "verdict" }, make("i", { class: `dot ${status}` }), status[0].toUpperCase() + status.slice(1)), make("p", { class: "path" }, nameOf(item)));
    if (item.e) head.append(make("p", { class: `because ${status}` }, item.e));
    const found = [head];
    if (item.r) found.push(part("Repairs", make("ul", { class: "plain" }, ...item.r.map((line) => make("li", null, line)))));
    if (item.m) found.push(part("Not published", attempts(item)));
    if (item.a && Object.keys((data.pictures[item.index] ?? {}).c ?? {}).length) found.push(part("Control maps", controlMaps(item)));
    if (item.g && item.g.length) found.push(part("Instances", instances(item)));
    else if (item.c) found.push(part("Categories", make("p", null, item.c.map((n) => data.categories[n][0]).join(", "))));
    if (item.p !== undefined) found.push(part("Prompt", make("p", { class: "prompt" }, data.prompts[item.p])));
    const drawn = Object.entries(item.y ?? {});
    if (drawn.length) found.push(part("Drawn", pairs(drawn)));
    if (item.d !== undefined) found.push(part("Seed", make("p", { class: "path" }, String(item.d))));
    const checks = scoresByCheck(item);
    if (checks.length) found.push(part("Scores of the picture", pairs(checks)));
    if (item.n) found.push(part("Source read as", make("ul", { class: "plain" }, ...item.n.map((line) => make("li", null, line)))));
    if (item.x !== undefined) {
      const settings = Object.entries(data.settings[item.x]).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]);
      found.push(make("details", null, make("summary", null, "Settings that ran"), pairs(settings, true)));
    }
    return found;
  }
  function attempts(item) {
    return instead(item, item.m.map(([url, number, seed, best, reasons]) => {
      const title = attemptName(number) + (best && item.s === 1 ? ", the best" : "");
      const text = [make("b", null, title), make("small", null, ` seed ${seed}`), ...reasons.map((line) => make("span", { class: "reason" }, line))];
      return [url, `${attemptName(number)}, not published`, text];
    }));
  }
  function controlMaps(item) {
    return instead(item, Object.entries(data.pictures[item.index].c).map(([name, url]) => [url, `control map: ${name}`, [make("b", null, name)]]));
  }
  // A list of pictures, each of which is shown in the result's place while it is pressed.
  function instead(item, entries) {
    const list = make("ul", { class: "instead" });
    for (const [url, name, text] of entries) {
      const button = make("button", { type: "button", "aria-pressed": "false" }, make("img", { src: url, alt: "", loading: "lazy" }), make("span", null, ...text));
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        for (const other of document.querySelectorAll(".instead [aria-pressed]")) other.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-pressed", String(on));
        showInstead(item, on ? url : null, name);
      });
      list.append(make("li", null, button));
    }
    return list;
  }
  // A check's main score has its own name; what else it found stands behind, smaller.
  function scoresByCheck(item) {
    const checks = new Map();
    (item.k ?? []).forEach((value, n) => {
      if (value === null) return;
      const dot = data.figures[n].indexOf(".");
      const [check, name] = [data.figures[n].slice(0, dot), data.figures[n].slice(dot + 1)];
      if (!checks.has(check)) checks.set(check, { main: null, others: [] });
      if (name === check) checks.get(check).main = short(value);
      else checks.get(check).others.push(`${words(name)} ${short(value)}`);
    });
    return [...checks].map(([check, { main, others }]) => [check, make("span", null, main === null ? null : make("b", null, `${main} `), make("small", null, others.join(" · ")))]);
  }
  function instances(item) {
    // The survival that is drawn has a column of its own; a score that is always there twice has not.
    const columns = data.columns.map((name, n) => [name, n + 3]).filter(([name, n]) => name !== "survival.survival" && item.g.some((row) => row[n] !== null));
    const scored = item.g.some((row) => row[2] !== null);
    const head = make("tr", null, make("th", { scope: "col" }, "Instance"));
    if (scored) head.append(make("th", { scope: "col", class: "num" }, "survival"));
    for (const [name] of columns) head.append(make("th", { scope: "col", class: "num", title: words(name) }, words(name.slice(name.indexOf(".") + 1))));
    const body = make("tbody", null);
    for (const row of item.g) {
      const category = row[1] < 0 ? "" : data.categories[row[1]][0];
      const button = make("button", { type: "button", class: "link", "aria-pressed": "false", title: "Show this instance's contour" }, category || "instance", make("small", null, ` #${row[0]}`));
      const line = make("tr", { "data-id": row[0] }, make("th", { scope: "row" }, button));
      if (scored) line.append(make("td", { class: "num" }, make("b", { class: row[2] === null ? null : `${tone(row[2])}-text` }, row[2] === null ? "not scored" : fixed(row[2]))));
      for (const [, n] of columns) line.append(make("td", { class: "num" }, fixed(row[n])));
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        for (const other of body.querySelectorAll("[aria-pressed]")) other.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-pressed", String(on));
        if (on && !state.contours) setContours(true);
        light(on ? row[0] : null);
        if (on) goTo(item, row[0]);
      });
      body.append(line);
    }
    return make("div", { class: "instances-scroll" }, make("table", { class: "instances" }, make("thead", null, head), body));
  }

  // Keys

  function typing(target) {
    return target.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const key = event.key.toLowerCase();
    const act = (work) => {
      event.preventDefault();
      work();
    };
    if (key === "c") act(() => setContours(!state.contours));
    else if (viewer.open) {
      if (key === "j") act(() => open(opened + 1));
      else if (key === "k") act(() => open(opened - 1));
      else if (key === "b") act(flip);
      else if (key === "z") act(enlarge);
      else if (key === "m") act(() => mark(shown[opened]));
      else if ((key === "arrowleft" || key === "arrowright") && event.target !== $("slider") && !$("slider").disabled)
        act(() => slide(Number($("slider").value) + (key === "arrowleft" ? -2 : 2)));
    } else if (key === "/") act(() => $("search").focus());
    else if (key === "m" && event.target.classList.contains("card")) {
      const { position } = event.target.dataset;
      act(() => mark(shown[position]));
      document.querySelector(`.card[data-position="${position}"]`)?.focus();
    } else if (key.startsWith("arrow") && event.target.classList.contains("card")) act(() => walk(event.target, key));
  });
  function walk(from, key) {
    const cards = [...document.querySelectorAll(".card")];
    const columns = cards.filter((one) => one.getBoundingClientRect().top === cards[0].getBoundingClientRect().top).length;
    const step = { arrowleft: -1, arrowright: 1, arrowup: -columns, arrowdown: columns }[key];
    cards[cards.indexOf(from) + step]?.focus();
  }

  // Theme

  const themes = ["system", "light", "dark"];
  function theme(name) {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    $("theme-name").textContent = `Theme: ${name}`;
  }
  // A browser may forbid a file to keep anything.
  function remembered(value) {
    try {
      if (value) localStorage.setItem("sv2r-theme", value);
      return localStorage.getItem("sv2r-theme");
    } catch {
      return null;
    }
  }

  // Start

  // One shape for all cards: the middle one of the pictures', as long as it is not extreme.
  function aspect() {
    const shapes = items.map((item) => item.z ?? (data.pictures[item.index] ?? {}).z).filter(Boolean).map(([height, width]) => width / height);
    const middle = shapes.sort((a, b) => a - b)[shapes.length >> 1] ?? 4 / 3;
    return Math.min(16 / 9, Math.max(0.8, middle));
  }
  function begin() {
    const folder = decodeURIComponent(location.pathname).split("/").at(-3);
    if (folder) {
      $("title").textContent = folder;
      document.title = `${folder} · sv2r report`;
    }
    data.categories.forEach(([name, count], n) => $("category").append(make("option", { value: n }, `${name} (${counted(count)})`)));
    $("category").parentElement.hidden = !data.categories.length;
    const scores = [];
    if (items.some((item) => item.w !== undefined)) scores.push(["worst", "survival of the worst instance"]);
    if (items.some((item) => item.t !== undefined)) scores.push(["shift", "shift, px"]);
    data.figures.forEach((name, n) => scores.push([n, words(name)]));
    $("score").append(...scores.map(([value, name]) => make("option", { value }, name)));
    state.score = $("score").value;
    $("scores").hidden = !scores.length;
    if (!data.pictures.some((one) => one.contours)) $("contours").parentElement.hidden = true;
    $("grid").style.setProperty("--aspect", aspect());
    theme(themes.includes(remembered()) ? remembered() : "system");
    listen();
    filter();
    const wanted = new URLSearchParams(location.hash.slice(1));
    const position = shown.findIndex((item) => item.i === wanted.get("picture") && String(item.v ?? 0) === (wanted.get("variant") ?? "0"));
    if (position >= 0) open(position);
  }
  function listen() {
    $("theme").addEventListener("click", () => {
      const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % themes.length];
      remembered(next);
      theme(next);
    });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("search").addEventListener("input", () => {
      state.text = $("search").value.trim().toLowerCase();
      filter();
    });
    for (const box of document.querySelectorAll("[name=status]"))
      box.addEventListener("change", () => {
        state.statuses[box.checked ? "add" : "delete"](Number(box.value));
        filter();
      });
    $("repaired")?.addEventListener("change", () => {
      state.repaired = $("repaired").checked;
      filter();
    });
    $("category").addEventListener("change", () => {
      state.category = $("category").value;
      filter();
    });
    $("order").addEventListener("change", () => {
      state.order = $("order").value;
      filter();
    });
    for (const id of ["contours", "viewer-contours"]) $(id).addEventListener("change", () => setContours($(id).checked));
    for (const button of document.querySelectorAll("[data-category]"))
      button.addEventListener("click", () => {
        state.category = String(data.categories.findIndex(([name]) => name === button.dataset.category));
        $("category").value = state.category;
        filter();
        $("gallery").scrollIntoView();
        $("gallery").focus({ preventScroll: true });
      });
    $("all-categories")?.addEventListener("click", () => {
      for (const row of document.querySelectorAll(".further")) row.hidden = false;
      $("all-categories").remove();
    });
    $("page-before").addEventListener("click", () => turn(state.page - 1));
    $("page-after").addEventListener("click", () => turn(state.page + 1));
    $("page").addEventListener("change", () => turn(Number($("page").value) - 1));
    $("previous").addEventListener("click", () => open(opened - 1));
    $("next").addEventListener("click", () => open(opened + 1));
    $("close").addEventListener("click", () => viewer.close());
    $("flip").addEventListener("click", flip);
    $("zoom").addEventListener("click", enlarge);
    $("slider").addEventListener("input", () => slide(Number($("slider").value)));
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      frame.setPointerCapture(event.pointerId);
      grip(event);
    });
    $("room").addEventListener("wheel", (event) => {
      event.preventDefault();
      zoomAt(zoom * 1.2 ** (-Math.sign(event.deltaY) * Math.min(4, Math.abs(event.deltaY) / 60)), event.clientX, event.clientY);
    }, { passive: false });
    $("mark").addEventListener("click", () => mark(shown[opened]));
    $("save-list").addEventListener("click", saveList);
    for (const id of ["score", "from", "to"])
      $(id).addEventListener("input", () => {
        const number = (text) => (text === "" ? null : Number(text));
        Object.assign(state, { score: $("score").value, from: number($("from").value), to: number($("to").value) });
        filter();
      });
    frame.addEventListener("pointermove", (event) => {
      if (frame.hasPointerCapture(event.pointerId)) drag(event);
    });
    viewer.addEventListener("close", () => {
      const position = opened;
      opened = null;
      history.replaceState(null, "", location.pathname + location.search);
      if (Math.floor(position / PAGE) !== state.page) {
        state.page = Math.floor(position / PAGE);
        render();
      }
      document.querySelector(`.card[data-position="${position}"]`)?.focus();
    });
    addEventListener("resize", () => {
      if (viewer.open) fit();
    });
  }
  begin();
})();
