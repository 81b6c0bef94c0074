// Draws certified accuracy of each class at a radius: a bar from 0 to 100 % and the number of images per class.

/** A caption and the bars of the classes and of their mean; the dashed line is the share of the largest class. */
function classBars(row, radius) {
  const classes = row.classes.map((of) => ({ ...of, share: of.radii.filter((least) => least >= radius - 1e-9).length / of.num_images }));
  const total = sum(classes.map((of) => of.num_images)), largest = classes.reduce((a, b) => (b.num_images > a.num_images ? b : a));
  const baseline = largest.num_images / total;
  const mean = { name: `mean of ${classes.length} classes`, num_images: total, share: sum(classes.map((of) => of.share)) / classes.length };
  const caption = element("p", {}, `Certified accuracy of each class at radius ${radius}. Dashed line: always answering ${largest.name}, ${percent(baseline)} %.`);
  const list = element("ul", {}, ...[...classes, mean].map((of) => barOf(of, baseline)), axisOf());
  list.lastChild.previousSibling.className = "mean";
  return [caption, list];
}

function barOf({ name, num_images, share }, baseline) {
  const text = element("span", {}, name, element("span", { className: "under" }, `${whole(num_images)} ${num_images === 1 ? "image" : "images"}`));
  const item = element("li", {}, text);
  const bar = add(item, "svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  add(bar, "rect", { class: "whole", width: 100, height: 10 });
  add(bar, "rect", { class: "share", width: 100 * share, height: 10 });
  const line = { x1: 100 * baseline, x2: 100 * baseline, y1: 0, y2: 10 };
  add(bar, "line", { class: "halo", ...line });
  add(bar, "line", { class: "baseline", ...line });
  item.append(element("span", { className: "number" }, `${percent(share)} %`));
  return item;
}

/** The axis below the bars; every item has its share as text, so it is hidden from screen readers. */
function axisOf() {
  const marks = [0, 25, 50, 75, 100].map((mark) => element("span", {}, String(mark)));
  const axis = element("li", { className: "axis" }, element("span"), element("span", { className: "marks" }, ...marks), element("span", {}, "%"));
  axis.ariaHidden = "true";
  return axis;
}

function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}
