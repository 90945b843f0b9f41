// Click map: measures the links in a frame that runs no script, and draws boxes and counts over it in our own page (FRONTEND.md 6).
const area = document.querySelector("[data-clickmap]");

if (area) {
  const canvas = area.firstElementChild;
  const frame = area.querySelector("iframe");
  const counts = JSON.parse(document.getElementById("click-counts").textContent);
  const most = Math.max(1, ...Object.values(counts));

  const badge = (className, text) => {
    const made = document.createElement("div");
    made.className = className;
    made.ariaHidden = "true";
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const draw = () => {
    canvas.querySelectorAll(".map-box, .map-count").forEach((old) => old.remove());
    const page = frame.contentDocument; // null or empty before it has loaded
    if (!page?.body) return;
    frame.style.height = `${page.documentElement.scrollHeight}px`;
    for (const link of page.querySelectorAll("a[data-lid]")) {
      const clicks = counts[link.dataset.lid] ?? 0;
      const shown = link.querySelector("img") ?? link;
      const place = shown.getBoundingClientRect();
      if (!place.width) continue;
      const left = frame.offsetLeft + place.left;
      const box = badge("map-box");
      Object.assign(box.style, { left: `${left}px`, top: `${place.top}px`, width: `${place.width}px`, height: `${place.height}px` });
      box.style.setProperty("--heat", `${8 + (40 * clicks) / most}%`);
      const count = badge("map-count num", clicks.toLocaleString(document.documentElement.lang));
      Object.assign(count.style, { left: `${left + place.width - 4}px`, top: `${place.top}px` });
      canvas.append(box, count);
    }
  };

  frame.addEventListener("load", draw);
  new ResizeObserver(draw).observe(canvas);
  document.addEventListener("change", (event) => {
    if (event.target.name !== "map-width") return;
    area.dataset.view = event.target.value;
    draw();
  });
  draw();
}
