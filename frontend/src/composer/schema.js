// What a mail may be made of: the same kinds as mailer/compose/document.py, which believes none of it.
import { Extension, Mark, Node, mergeAttributes } from "@tiptap/core";
import StarterKit from "@tiptap/starter-kit";
import TextAlign from "@tiptap/extension-text-align";
import { product } from "./products.js";

// What a block is goes with it when it is copied, also into another campaign; pasted from elsewhere only what has the right form.
const attributes = (defaults) => () => Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, { default: value, rendered: false, parseHTML: (element) => carried(element, name, value) }]));
const carry = (node) => ({ "data-attrs": JSON.stringify(node.attrs) });

function carried(element, name, otherwise) {
  try {
    const value = JSON.parse(element.dataset.attrs ?? "{}")[name] ?? otherwise;
    return otherwise === null || typeof value === typeof otherwise ? value : otherwise;
  } catch {
    return otherwise;
  }
}

const classes = (name, extra = "") => ({ class: `c-${name}${extra}` });

const Mail = Node.create({ name: "doc", topNode: true, content: "(section | products | saved)+" });

const Section = Node.create({
  name: "section",
  content: "column{1,3}",
  isolating: true,
  defining: true,
  addAttributes: attributes({ background: null, padding: 24, show: "all", stack: true }),
  parseHTML: () => [{ tag: "div[data-section]" }],
  renderHTML: ({ node, HTMLAttributes }) => {
    const { background, padding, show } = node.attrs;
    const style = `padding-block:${padding}px${background ? `;background:${background}` : ""}`;
    return ["div", { ...HTMLAttributes, ...carry(node), "data-section": "", "data-show": show, style, ...classes("section") }, 0];
  },
});

const Column = Node.create({
  name: "column",
  content: "block+",
  isolating: true,
  defining: true,
  addAttributes: attributes({ width: 100 }),
  parseHTML: () => [{ tag: "div[data-column]" }],
  renderHTML: ({ node }) => ["div", { ...carry(node), "data-column": "", style: `flex-basis:${node.attrs.width}%`, ...classes("column") }, 0],
});

// Blocks that hold no text of their own are drawn from their attributes and edited in the panel.
function atom(name, defaults, draw) {
  return Node.create({
    name,
    group: "block",
    atom: true,
    draggable: true,
    addAttributes: attributes(defaults),
    parseHTML: () => [{ tag: `div[data-block="${name}"]` }],
    renderHTML: ({ node, HTMLAttributes }) => ["div", { ...HTMLAttributes, ...carry(node), "data-block": name, ...classes(name) }, ...[draw(node.attrs)].flat(1)],
  });
}

const aligned = (align) => ({ style: `text-align:${align}` });
export const ATOMS = {
  image: { src: "", alt: "", href: "", width: 100, align: "center", radius: 0 },
  logo: { width: 30, align: "left" },
  button: { label: "", href: "", background: null, color: null, align: "center", full: false },
  divider: { color: null, thickness: 1 },
  spacer: { height: 24 },
  social: { links: [], align: "center" },
  video: { src: "", alt: "", href: "" },
  coupon: { code: "", label: "", color: null },
  html: { html: "" },
};

const picture = ({ src, alt, width = 100, radius = 0 }, empty) =>
  src ? ["img", { src, alt, style: `width:${width}%;border-radius:${radius}px`, draggable: "false" }] : ["span", { class: "c-empty" }, empty];

// Cards over a table of the campaign; a section of its own, since its rows are.
const PRODUCTS = { items: [], columns: 2, label: "", background: null, padding: 24 };

function products(words) {
  const card = ({ src, alt, title, text, price, href }, label) => ["div", classes("product"), picture({ src, alt }, words.noPicture), ["b", {}, title || words.product], ["span", {}, text], ["span", {}, price], ...(label && href ? [["span", { class: "c-label" }, label]] : [])];
  return Node.create({
    name: "products",
    atom: true,
    draggable: true,
    addAttributes: attributes(PRODUCTS),
    parseHTML: () => [{ tag: "div[data-products]" }],
    renderHTML: ({ node, HTMLAttributes }) => {
      const { items, columns, label, background, padding } = node.attrs;
      const style = `--columns:${columns};padding-block:${padding}px${background ? `;background:${background}` : ""}`;
      return ["div", { ...HTMLAttributes, ...carry(node), "data-products": "", style, ...classes("products") }, ...(items.length ? items.map((item) => card({ ...product, ...item }, label)) : [["span", { class: "c-empty" }, words.noProducts]])];
    },
  });
}

// A section that several mails share: shown by its name, changed where it is taken apart.
function saved(words) {
  return Node.create({
    name: "saved",
    atom: true,
    draggable: true,
    addAttributes: attributes({ id: 1, name: "" }),
    parseHTML: () => [{ tag: "div[data-saved-section]" }],
    renderHTML: ({ node, HTMLAttributes }) => ["div", { ...HTMLAttributes, ...carry(node), "data-saved-section": "", ...classes("saved") }, ["b", {}, words.kinds.saved], ["span", {}, node.attrs.name]],
  });
}

// Whom a block is for; said on the block, so that nobody wonders where it went in the preview.
function conditions(words) {
  const blocks = ["section", "products", "saved", "paragraph", "heading", "bulletList", "orderedList", "blockquote", ...Object.keys(ATOMS)];
  return Extension.create({
    name: "conditions",
    addGlobalAttributes: () => [{
      types: blocks,
      attributes: {
        condition: {
          default: null,
          parseHTML: (element) => carried(element, "condition", null) ?? carried({ dataset: { attrs: `{"condition":${element.dataset.condition ?? "null"}}` } }, "condition", null),
          renderHTML: ({ condition }) => (condition ? { "data-condition": JSON.stringify(condition), "data-for": `${words.onlyIf} ${words.fields[condition.field] ?? condition.field} ${words.conditions[condition.is] ?? ""} ${condition.value}`.trim() } : {}),
        },
      },
    }],
  });
}

export function extensions(words) {
  const atoms = [
    atom("image", ATOMS.image, (attrs) => [["div", aligned(attrs.align), picture(attrs, words.noPicture)]]),
    atom("button", ATOMS.button, (attrs) => {
      const style = `${attrs.background ? `background:${attrs.background};` : ""}${attrs.color ? `color:${attrs.color};` : ""}${attrs.full ? "width:100%" : ""}`;
      return [["div", aligned(attrs.align), ["span", { class: "c-label", style }, attrs.label || words.button]]];
    }),
    atom("divider", ATOMS.divider, ({ color, thickness }) => [["span", { class: "c-line", style: `border-top:${thickness}px solid ${color ?? "#d5d9e0"}` }]]),
    atom("spacer", ATOMS.spacer, ({ height }) => [["span", { class: "c-space", style: `height:${height}px` }, `${height} px`]]),
    atom("logo", ATOMS.logo, ({ width, align }) => [["div", aligned(align), words.brand.logo ? ["img", { src: words.brand.logo, alt: words.brand.name, style: `width:${width}%`, draggable: "false" }] : ["b", {}, words.brand.name || words.kinds.logo]]]),
    atom("social", ATOMS.social, ({ links, align }) => [["div", aligned(align), links.map((link) => words.networks[link.network]).join(" · ") || words.noLinks]]),
    atom("video", ATOMS.video, (attrs) => [picture(attrs, words.noPicture), ["span", { class: "c-play", "aria-hidden": "true" }, "▶"]]),
    atom("coupon", ATOMS.coupon, ({ code, label, color }) => [["span", { class: "c-code", style: color ? `border-color:${color};color:${color}` : "" }, label ? `${label} ` : "", ["b", {}, code || words.code]]]),
    atom("html", ATOMS.html, ({ html }) => [["code", {}, html.trim().slice(0, 200) || "<…>"]]),
  ];
  const kit = StarterKit.configure({
    document: false,
    trailingNode: false,
    code: false,
    codeBlock: false,
    horizontalRule: false,
    heading: { levels: [1, 2, 3] },
    link: { openOnClick: false, autolink: true, protocols: ["http", "https", "mailto", "tel"], defaultProtocol: "https" },
  });
  return [Mail, Section, Column, kit, TextAlign.configure({ types: ["heading", "paragraph"], alignments: ["left", "center", "right"] }), TextColor, mergeTag(words), products(words), saved(words), conditions(words), ...atoms];
}

const TextColor = Mark.create({
  name: "textColor",
  addAttributes: () => ({ color: { default: null, parseHTML: () => null, renderHTML: ({ color }) => (color ? { style: `color:${color}` } : {}) } }),
  parseHTML: () => [{ tag: "span[data-color]" }],
  renderHTML: ({ HTMLAttributes }) => ["span", mergeAttributes({ "data-color": "" }, HTMLAttributes), 0],
});

// A field of the member: one thing in the text, so it cannot be half deleted.
function mergeTag(words) {
  return Node.create({
    name: "mergeTag",
    group: "inline",
    inline: true,
    atom: true,
    addAttributes: attributes({ field: "first_name", fallback: "" }),
    parseHTML: () => [{ tag: "span[data-field]" }],
    renderHTML: ({ node }) => ["span", { ...carry(node), "data-field": node.attrs.field, ...classes("field") }, words.fields[node.attrs.field] ?? node.attrs.field],
    renderText: ({ node }) => `{{ member.${node.attrs.field} }}`,
  });
}
