// The settings of what is selected, as real form fields: block, section, whole mail. They are no part of the form that is saved.
import { currentBlock, currentSection, replaceSection, setAttrs, setColumns } from "./blocks.js";
import { fromTable, product } from "./products.js";

let counter = 0;

export function element(tag, attrs = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function labelled(text, input, help = "") {
  input.id = `c-${++counter}`;
  const parts = [element("label", { for: input.id }, text), input];
  if (help) {
    const said = element("p", { class: "help", id: `${input.id}-help` }, help);
    input.setAttribute("aria-describedby", said.id);
    parts.push(said);
  }
  return element("div", { class: "field" }, ...parts);
}

export const fields = {
  text: (label, value, change, more = {}) => labelled(label, element("input", { class: "input", type: more.type ?? "text", value: value ?? "", oninput: (event) => change(event.target.value, event.target), ...(more.max ? { maxlength: String(more.max) } : {}), ...(more.placeholder ? { placeholder: more.placeholder } : {}) }), more.help),
  area: (label, value, change, more = {}) => {
    const area = element("textarea", { class: "input", rows: String(more.rows ?? 4), oninput: (event) => change(event.target.value) });
    area.value = value ?? "";
    return labelled(label, area, more.help);
  },
  number: (label, value, change, least, most) => labelled(label, element("input", { class: "input", type: "number", min: String(least), max: String(most), value: String(value), oninput: (event) => {
    const number = Math.round(Number(event.target.value));
    if (number >= least && number <= most) change(number);
  } })),
  choice: (label, value, choices, change) => {
    const select = element("select", { class: "input", onchange: (event) => change(event.target.value) }, ...Object.entries(choices).map(([key, text]) => element("option", { value: key }, text)));
    select.value = String(value);
    return labelled(label, select);
  },
  check: (label, value, change) => element("label", { class: "check" }, element("input", { type: "checkbox", checked: value, onchange: (event) => change(event.target.checked) }), element("span", {}, label)),
  colour: (label, value, change, words, fallback) => {
    const input = element("input", { type: "color", value: value ?? fallback, oninput: (event) => change(event.target.value) });
    const field = labelled(label, input);
    if (value !== null && fallback !== undefined && words) field.append(element("button", { class: "btn s", type: "button", onclick: () => change(null) }, words.asTheme));
    return field;
  },
};

// WCAG 2.2 contrast of two #rrggbb.
export function contrast(one, other) {
  const light = (colour) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

function readout(one, other, words) {
  const ratio = contrast(one, other);
  const good = ratio >= 4.5;
  return element("p", { class: good ? "c-contrast ok" : "c-contrast bad", role: "status" }, `${words.contrast} ${ratio.toFixed(1)} : 1 ${good ? words.contrastGood : words.contrastBad}`);
}

export function panel(place, editor, words, theme, hooks) {
  let shown = "";
  const unfold = { pos: -1, added: false }; // whose products are unfolded; a new one is

  const body = {
    paragraph: () => [],
    heading: (found, set) => [fields.choice(words.level, found.node.attrs.level, { 1: words.level1, 2: words.level2, 3: words.level3 }, (value) => set({ level: Number(value) }))],
    image: (found, set) => pictureFields(found, set, true),
    video: (found, set) => pictureFields(found, set, false),
    button: (found, set) => {
      const { attrs } = found.node;
      const background = attrs.background ?? theme().button;
      const color = attrs.color ?? theme().buttonText;
      return [
        fields.text(words.label, attrs.label, (label) => set({ label }), { max: 200 }),
        address(attrs.href, (href) => set({ href })),
        fields.colour(words.background, attrs.background, (value) => set({ background: value }, true), words, theme().button),
        fields.colour(words.textColour, attrs.color, (value) => set({ color: value }, true), words, theme().buttonText),
        readout(background, color, words),
        align(attrs.align, (value) => set({ align: value })),
        fields.check(words.full, attrs.full, (full) => set({ full })),
      ];
    },
    divider: (found, set) => [fields.colour(words.colour, found.node.attrs.color, (color) => set({ color }, true), words, "#d5d9e0"), fields.number(words.thickness, found.node.attrs.thickness, (thickness) => set({ thickness }), 1, 8)],
    logo: (found, set) => [
      element("p", { class: "help" }, words.logoHelp, " ", element("a", { href: "/templates/brand" }, words.brandLink)),
      fields.number(words.width, found.node.attrs.width, (width) => set({ width }), 10, 100),
      align(found.node.attrs.align, (value) => set({ align: value })),
    ],
    spacer: (found, set) => [fields.number(words.height, found.node.attrs.height, (height) => set({ height }), 4, 120)],
    coupon: (found, set) => [
      fields.text(words.codeLabel, found.node.attrs.code, (code) => set({ code }), { max: 60 }),
      fields.text(words.label, found.node.attrs.label, (label) => set({ label }), { max: 200 }),
      fields.colour(words.colour, found.node.attrs.color, (color) => set({ color }, true), words, theme().button),
    ],
    html: (found, set) => [fields.area("HTML", found.node.attrs.html, (html) => set({ html }), { rows: 10, help: words.htmlHelp })],
    social: (found, set) => social(found, set),
  };

  const align = (value, change) => fields.choice(words.align, value, { left: words.left, center: words.center, right: words.right }, change);

  function address(value, change) {
    return fields.text(words.address, value, (given, input) => {
      const good = !given || /^(https?:\/\/[^/\s]|mailto:.|tel:[+\d]|\{\{)/i.test(given.trim());
      input.setCustomValidity(good ? "" : words.badAddress);
      input.setAttribute("aria-invalid", String(!good));
      if (good) change(given.trim());
    }, { type: "url", placeholder: "https://", help: words.addressHelp });
  }

  function pictureFields(found, set, resizable) {
    const { attrs } = found.node;
    return [
      element("button", { class: "btn", type: "button", onclick: () => hooks.pick(found) }, attrs.src ? words.otherPicture : words.choosePicture),
      fields.text(words.alt, attrs.alt, (alt) => set({ alt }), { max: 500, help: words.altHelp }),
      address(attrs.href, (href) => set({ href })),
      ...(resizable ? [fields.number(words.width, attrs.width, (width) => set({ width }), 10, 100), align(attrs.align, (value) => set({ align: value })), fields.number(words.radius, attrs.radius, (radius) => set({ radius }), 0, 40)] : []),
    ];
  }

  function social(found, set) {
    const { links, align: side } = found.node.attrs;
    const change = (at, part) => set({ links: links.map((link, place) => (place === at ? { ...link, ...part } : link)) });
    return [
      ...links.flatMap((link, at) => [
        fields.choice(words.network, link.network, words.networks, (network) => change(at, { network })),
        address(link.href, (href) => change(at, { href })),
        element("button", { class: "btn s", type: "button", onclick: () => set({ links: links.filter((_each, place) => place !== at) }, true) }, words.removeLink),
      ]),
      element("button", { class: "btn", type: "button", onclick: () => set({ links: [...links, { network: "web", href: "" }] }, true) }, words.addLink),
      align(side, (value) => set({ align: value })),
    ];
  }

  function sectionFields(found) {
    const set = (attrs, again) => {
      setAttrs(editor, currentSection(editor.state), attrs);
      if (again) draw(true);
    };
    const { attrs } = found.node;
    return [
      fields.choice(words.columns, found.node.childCount, { 1: "1", 2: "2", 3: "3" }, (count) => setColumns(editor, currentSection(editor.state), Number(count))),
      fields.colour(words.background, attrs.background, (background) => set({ background }, true), words, theme().content),
      readout(attrs.background ?? theme().content, theme().text, words),
      fields.number(words.padding, attrs.padding, (padding) => set({ padding }), 0, 80),
      fields.choice(words.show, attrs.show, { all: words.showAll, phone: words.showPhone, desktop: words.showDesktop }, (show) => set({ show })),
      ...saveFields(found),
      ...(found.node.childCount > 1 ? [fields.check(words.stack, attrs.stack, (stack) => set({ stack }))] : []),
    ];
  }

  // Under a name for several mails; what stood here refers to it from then on.
  function saveFields(found) {
    const name = element("input", { class: "input", type: "text", maxlength: "200", id: `c-${++counter}` });
    const over = fields.check(words.replaceSaved, false, () => {});
    const said = element("p", { class: "error", role: "alert" });
    over.hidden = true;
    const save = async () => {
      said.textContent = "";
      const here = currentSection(editor.state);
      const kept = await hooks.saveSection(name.value.trim(), here.node.toJSON(), over.querySelector("input").checked);
      if (kept.id) return replaceSection(editor, here, { type: "saved", attrs: { id: kept.id, name: kept.name } });
      said.textContent = kept.error;
      over.hidden = !kept.taken;
    };
    return [element("details", {}, element("summary", {}, words.saveSection), element("div", { class: "stack-s" },
      element("div", { class: "field" }, element("label", { for: name.id }, words.sectionName), name), over, said,
      element("button", { class: "btn", type: "button", onclick: save }, words.saveSection)))];
  }

  function savedFields(found) {
    const known = words.saved.find((each) => each.id === found.node.attrs.id);
    return [
      element("p", { class: "help" }, words.savedHelp),
      ...(known ? [element("button", { class: "btn", type: "button", onclick: () => replaceSection(editor, currentSection(editor.state), known.section) }, words.takeApart)] : [element("p", { class: "error" }, words.savedGone)]),
    ];
  }

  const setSection = (attrs, again) => {
    const here = currentSection(editor.state);
    if (!here) return;
    setAttrs(editor, here, attrs);
    if (again) draw(true);
  };

  // Whom it is for: everybody, or members whose field says so.
  function conditionFields(condition, set) {
    const change = (part) => set({ condition: { field: "first_name", is: "filled", value: "", ...condition, ...part } }, true);
    const kept = (value) => set({ condition: { ...condition, value } });
    return [
      fields.choice(words.forWhom, condition?.field ?? "", { "": words.everybody, ...words.fields }, (field) => (field ? change({ field }) : set({ condition: null }, true))),
      ...(condition ? [fields.choice(words.whoseField, condition.is, words.conditions, (is) => change({ is }))] : []),
      ...(condition && !["filled", "empty"].includes(condition.is) ? [fields.text(words.value, condition.value, kept, { max: 100 })] : []),
    ];
  }

  function productFields(found) {
    const { attrs } = found.node;
    const table = fields.area(words.pasteTable, "", () => {}, { rows: 2, help: words.pasteTableHelp });
    const items = () => currentSection(editor.state)?.node.attrs.items ?? [];
    const change = (at, part, again) => setSection({ items: items().map((item, place) => (place === at ? { ...item, ...part } : item)) }, again);
    const choose = async (at) => {
      const pos = found.pos;
      const chosen = await hooks.choose();
      const node = editor.state.doc.nodeAt(pos);
      if (chosen && node?.type.name === "products") setAttrs(editor, { pos, node }, { items: node.attrs.items.map((item, place) => (place === at ? { ...item, src: chosen.src, alt: item.alt || chosen.alt } : item)) });
      draw(true);
    };
    return [
      fields.choice(words.columns, attrs.columns, { 1: "1", 2: "2", 3: "3" }, (columns) => setSection({ columns: Number(columns) })),
      fields.text(words.label, attrs.label, (label) => setSection({ label }), { max: 200 }),
      ...attrs.items.map((item, at) => element("details", { class: "c-item" }, element("summary", {}, item.title || `${words.product} ${at + 1}`), element("div", { class: "stack-s" },
        element("button", { class: "btn s", type: "button", onclick: () => choose(at) }, item.src ? words.otherPicture : words.choosePicture),
        fields.text(words.alt, item.alt, (alt) => change(at, { alt }), { max: 500 }),
        fields.text(words.title, item.title, (title) => change(at, { title }), { max: 200 }),
        fields.area(words.kinds.paragraph, item.text, (text) => change(at, { text: text.slice(0, 1000) }), { rows: 2 }),
        fields.text(words.price, item.price, (price) => change(at, { price }), { max: 60 }),
        address(item.href, (href) => change(at, { href })),
        element("button", { class: "btn s danger", type: "button", onclick: () => setSection({ items: items().filter((_each, place) => place !== at) }, true) }, words.removeProduct)))),
      ...(attrs.items.length < 24 ? [element("button", { class: "btn", type: "button", onclick: () => { unfold.added = true; setSection({ items: [...items(), { ...product }] }, true); } }, words.addProduct)] : []),
      table,
      element("button", { class: "btn", type: "button", onclick: () => {
        const made = fromTable(table.querySelector("textarea").value);
        if (made.length) setSection({ items: [...items(), ...made].slice(0, 24) }, true);
      } }, words.addTable),
      fields.colour(words.background, attrs.background, (background) => setSection({ background }, true), words, theme().content),
      fields.number(words.padding, attrs.padding, (padding) => setSection({ padding }), 0, 80),
    ];
  }

  function themeFields() {
    const set = (part) => {
      hooks.theme(part);
      if (Object.keys(part).some((name) => name !== "width")) draw(true);
    };
    const now = theme();
    const colours = ["background", "content", "text", "heading", "link", "button", "buttonText"];
    const follow = fields.check(words.followBrand, now.brand, (brand) => set({ brand }));
    if (now.brand && words.brand.theme) {
      return [
        follow,
        element("p", { class: "help" }, element("a", { href: "/templates/brand" }, words.brandLink)),
        fields.number(words.mailWidth, now.width, (width) => set({ width }), 480, 720),
        fields.check(words.dark, now.dark, (dark) => set({ dark })),
      ];
    }
    return [
      follow,
      ...colours.map((name) => fields.colour(words.theme[name], now[name], (value) => set({ [name]: value }))),
      readout(now.content, now.text, words),
      fields.choice(words.font, now.font, words.fonts, (font) => set({ font })),
      fields.number(words.mailWidth, now.width, (width) => set({ width }), 480, 720),
      fields.number(words.radius, now.radius, (radius) => set({ radius }), 0, 30),
      fields.check(words.dark, now.dark, (dark) => set({ dark })),
    ];
  }

  // Drawn anew only when something else is selected, so that a field keeps the focus while it is written in.
  function draw(again = false) {
    const { state } = editor;
    const chosen = state.selection.node?.type.name === "mergeTag" ? { node: state.selection.node, pos: state.selection.from } : currentBlock(state);
    const section = currentSection(state);
    const key = [chosen?.pos, chosen?.node.type.name, section?.pos, section?.node.childCount, chosen?.node.attrs.links?.length, section?.node.attrs.items?.length].join("/");
    if (!again && (key === shown || place.contains(document.activeElement))) return;
    shown = key;
    const name = chosen?.node.type.name;
    const set = (attrs, redraw) => {
      const here = editor.state.doc.nodeAt(chosen.pos);
      if (here?.type.name !== name) return;
      setAttrs(editor, { pos: chosen.pos, node: here }, attrs);
      if (redraw) draw(true);
    };
    const focused = place.contains(document.activeElement) ? [...place.querySelectorAll("input,select,textarea,button")].indexOf(document.activeElement) : -1;
    const open = [...place.querySelectorAll("details.c-group")].map((each) => each.open);
    const unfolded = section?.pos === unfold.pos ? [...place.querySelectorAll("details.c-item")].map((each) => each.open) : [];
    unfold.pos = section?.pos;
    place.replaceChildren(
      ...(name === "mergeTag" ? [group(words.kinds.mergeTag, [fields.choice(words.field, chosen.node.attrs.field, words.fields, (field) => set({ field })), fields.text(words.fallback, chosen.node.attrs.fallback, (fallback) => set({ fallback }), { max: 100, help: words.fallbackHelp })], true)] : []),
      ...(name && name !== "mergeTag" ? [group(words.kinds[name] ?? name, [...(body[name] ?? (() => []))(fresh(chosen), set), ...conditionFields(fresh(chosen).node.attrs.condition, set)], open[0] ?? true)] : []),
      ...(section ? [group(words.kinds[section.node.type.name], [...({ products: productFields, saved: savedFields }[section.node.type.name] ?? sectionFields)(fresh(section)), ...conditionFields(fresh(section).node.attrs.condition, setSection)], section.node.isAtom || (open[1] ?? false))] : []),
      group(words.wholeMail, themeFields(), open[2] ?? false),
    );
    for (const [at, each] of [...place.querySelectorAll("details.c-item")].entries()) each.open = unfolded[at] ?? unfold.added;
    unfold.added = false;
    if (focused >= 0) place.querySelectorAll("input,select,textarea,button")[focused]?.focus();
  }

  const fresh = (found) => ({ pos: found.pos, node: editor.state.doc.nodeAt(found.pos) ?? found.node });
  const group = (title, parts, open) => element("details", { class: "c-group", open }, element("summary", {}, title), element("div", { class: "stack-s" }, ...(parts.length ? parts : [element("p", { class: "muted" }, words.inText)])));

  editor.on("selectionUpdate", () => draw());
  editor.on("update", () => draw());
  draw(true);
  return { draw };
}
