// Where one stands, and what may be done with the block there: found, inserted, moved, doubled, taken out.
import { NodeSelection, TextSelection } from "@tiptap/pm/state";
import { ATOMS } from "./schema.js";

export const PALETTE = ["paragraph", "heading", "image", "button", "columns2", "columns3", "section", "products", "logo", "bulletList", "orderedList", "blockquote", "divider", "spacer", "social", "video", "coupon", "html"];

const paragraph = (text) => ({ type: "paragraph", ...(text ? { content: [{ type: "text", text }] } : {}) });
const section = (count, inner = () => [paragraph()]) => ({
  type: "section",
  content: Array.from({ length: count }, (_each, at) => ({ type: "column", attrs: { width: Math.floor(100 / count) }, content: inner(at) })),
});

export function made(name, words) {
  if (name === "paragraph") return paragraph(words.text);
  if (name === "heading") return { type: "heading", attrs: { level: 2 }, content: [{ type: "text", text: words.heading }] };
  if (name === "bulletList" || name === "orderedList") return { type: name, content: [{ type: "listItem", content: [paragraph(words.item)] }] };
  if (name === "blockquote") return { type: name, content: [paragraph(words.quote)] };
  if (name === "columns2" || name === "columns3") return section(Number(name.at(-1)));
  if (name === "section") return section(1);
  if (name === "products") return { type: name, attrs: { columns: 2, label: words.button, items: [] } };
  if (name === "social") return { type: name, attrs: { ...ATOMS.social, links: words.brand.social } };
  return { type: name, attrs: { ...ATOMS[name], ...(name === "button" ? { label: words.button } : {}) } };
}

// A section out of the library, or what it says instead of the reference to it.
export function insertSaved(editor, attrs) {
  const here = currentSection(editor.state);
  const pos = here ? here.pos + here.node.nodeSize : editor.state.doc.content.size;
  editor.chain().insertContentAt(pos, { type: "saved", attrs }).run();
  select(editor, pos);
}

export function replaceSection(editor, found, content) {
  editor.chain().insertContentAt({ from: found.pos, to: found.pos + found.node.nodeSize }, content).run();
  select(editor, found.pos);
}

// {node, pos, depth} of the nearest of a kind around the selection.
export function around(state, test) {
  const { selection } = state;
  if (selection instanceof NodeSelection && test(selection.node)) return { node: selection.node, pos: selection.from };
  const { $from } = selection;
  for (let depth = $from.depth; depth > 0; depth--) if (test($from.node(depth))) return { node: $from.node(depth), pos: $from.before(depth) };
  return null;
}

export const SECTIONS = ["section", "products", "saved"];
export const currentSection = (state) => around(state, (node) => SECTIONS.includes(node.type.name));

// Where a block goes that has no place yet: the end of the last section; null where the mail has none.
function lastPlace(state) {
  let place = null;
  state.doc.forEach((node, offset) => {
    if (node.type.name === "section") place = offset + node.nodeSize - 2;
  });
  return place;
}

// The block that stands directly in a column.
export function currentBlock(state) {
  const { selection } = state;
  if (selection instanceof NodeSelection && selection.$from.parent.type.name === "column") return { node: selection.node, pos: selection.from };
  const { $from } = selection;
  for (let depth = $from.depth; depth > 0; depth--) if ($from.node(depth - 1).type.name === "column") return { node: $from.node(depth), pos: $from.before(depth) };
  return null;
}

export function insert(editor, name, words, at = null) {
  let content = made(name, words);
  if (!SECTIONS.includes(content.type) && at === null && lastPlace(editor.state) === null) content = section(1, () => [made(name, words)]);
  const isSection = SECTIONS.includes(content.type);
  const here = isSection ? currentSection(editor.state) : currentBlock(editor.state);
  const pos = at ?? (here ? here.pos + here.node.nodeSize : isSection ? editor.state.doc.content.size : lastPlace(editor.state));
  const replaces = !isSection && at === null && here && here.node.type.name === "paragraph" && here.node.content.size === 0;
  const target = replaces ? { from: here.pos, to: here.pos + here.node.nodeSize } : pos;
  editor.chain().insertContentAt(target, content).run();
  select(editor, replaces ? here.pos : pos, true);
}

// `words`: what stands in a new block is selected, so that one writes over it.
export function select(editor, pos, words = false) {
  const node = editor.state.doc.nodeAt(pos);
  if (!node) return;
  const { tr } = editor.state;
  let selection = node.isAtom ? NodeSelection.create(tr.doc, pos) : TextSelection.near(tr.doc.resolve(pos + 1));
  if (words && selection.$from.parent.isTextblock && selection.$from.parent.content.size) selection = TextSelection.create(tr.doc, selection.$from.start(), selection.$from.end());
  editor.view.dispatch(tr.setSelection(selection).scrollIntoView());
  editor.view.focus();
}

// One place up or down among its kind; a block at the edge of its column goes into the next column or section.
export function move(editor, found, step) {
  if (!found) return false;
  const { state } = editor;
  const $pos = state.doc.resolve(found.pos);
  const index = $pos.index();
  const parent = $pos.parent;
  const { tr } = state;
  let target;
  if (index + step >= 0 && index + step < parent.childCount) {
    const other = parent.child(index + step);
    target = step < 0 ? found.pos - other.nodeSize : found.pos + other.nodeSize;
    tr.delete(found.pos, found.pos + found.node.nodeSize).insert(target, found.node);
  } else {
    if (parent.type.name === "doc") return false;
    const edge = step < 0 ? $pos.start() - 1 : $pos.end() + 1;
    const columns = [];
    state.doc.descendants((node, pos) => {
      if (node.type.name === "column") columns.push({ node, pos });
      return node.type.name === "section" || node.type.name === "doc";
    });
    const next = step < 0 ? columns.filter((column) => column.pos + column.node.nodeSize <= edge).at(-1) : columns.find((column) => column.pos >= edge);
    if (!next) return false;
    target = step < 0 ? next.pos + next.node.nodeSize - 1 : next.pos + 1;
    tr.insert(target, found.node);
    const from = tr.mapping.map(found.pos, step < 0 ? 1 : -1);
    // A column must hold something.
    if (parent.childCount === 1) tr.replaceWith(from, from + found.node.nodeSize, state.schema.nodes.paragraph.create());
    else tr.delete(from, from + found.node.nodeSize);
    target = tr.mapping.maps.length > 1 && step > 0 ? tr.mapping.slice(1).map(target) : target;
  }
  editor.view.dispatch(tr);
  select(editor, target);
  return true;
}

export function double(editor, found) {
  if (!found) return false;
  const end = found.pos + found.node.nodeSize;
  editor.view.dispatch(editor.state.tr.insert(end, found.node.copy(found.node.content)));
  select(editor, end);
  return true;
}

export function remove(editor, found) {
  if (!found) return false;
  const { state } = editor;
  const { parent } = state.doc.resolve(found.pos);
  const { tr } = state;
  const end = found.pos + found.node.nodeSize;
  if (parent.childCount > 1) tr.delete(found.pos, end);
  else if (parent.type.name === "doc") tr.replaceWith(found.pos, end, state.schema.nodeFromJSON(section(1)));
  else tr.replaceWith(found.pos, end, state.schema.nodes.paragraph.create());
  editor.view.dispatch(tr.scrollIntoView());
  editor.view.focus();
  return true;
}

export function setAttrs(editor, found, attrs) {
  editor.view.dispatch(editor.state.tr.setNodeMarkup(found.pos, undefined, { ...found.node.attrs, ...attrs }));
}

// Another number of columns: what stood in those that go is moved into the last one that stays.
export function setColumns(editor, found, count) {
  const columns = found.node.content.content.map((column) => column.toJSON());
  const kept = columns.slice(0, count);
  for (const gone of columns.slice(count)) kept.at(-1).content.push(...gone.content);
  while (kept.length < count) kept.push({ type: "column", content: [paragraph()] });
  for (const column of kept) column.attrs = { width: Math.floor(100 / count) };
  const node = editor.state.schema.nodeFromJSON({ type: "section", attrs: found.node.attrs, content: kept });
  editor.view.dispatch(editor.state.tr.replaceWith(found.pos, found.pos + found.node.nodeSize, node));
  select(editor, found.pos + 2);
}
