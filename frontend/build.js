// Bundles frontend/src into mailer/static/dist: hashed files, manifest.json (name → file), icons.json (name → SVG body), licences.
import { build } from 'esbuild'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

const OUT = '../mailer/static/dist'
const ENTRIES = ['src/app.js', 'src/styles/app.css', 'src/styles/public.css'].filter(existsSync)

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))

async function bundle() {
  const { metafile } = await build({
    entryPoints: ENTRIES,
    outdir: OUT,
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    entryNames: '[name]-[hash]',
    chunkNames: 'chunk-[hash]',
    assetNames: '[name]-[hash]',
    loader: { '.woff2': 'file', '.svg': 'file', '.png': 'file' },
    legalComments: 'linked',
    metafile: true,
    logLevel: 'warning',
  })
  return metafile.outputs
}

// app.js → app-HASH.js; a stylesheet that a script imports comes out as another file of the same name.
function manifestOf(outputs) {
  const entries = Object.entries(outputs).filter(([, output]) => output.entryPoint)
  return Object.fromEntries(entries.map(([file, output]) => [basename(output.entryPoint), basename(file)]))
}

function icons() {
  const wanted = existsSync('src/icons.json') ? readJson('src/icons.json') : []
  const { icons, aliases = {} } = readJson('node_modules/@iconify-json/lucide/icons.json')
  const body = (name) => icons[name]?.body ?? (aliases[name] && body(aliases[name].parent))
  const missing = wanted.filter((name) => !body(name))
  if (missing.length) throw new Error(`src/icons.json names icons that lucide does not have: ${missing.join(', ')}`)
  return Object.fromEntries(wanted.map((name) => [name, body(name)]))
}

// What the named mail programs do not show, of caniemail's tests: slug → { title, not: programs }. The newest test of each counts.
const PROGRAMS = {
  gmail: [['gmail', 'desktop-webmail'], ['gmail', 'ios'], ['gmail', 'android']],
  'apple-mail': [['apple-mail', 'macos'], ['apple-mail', 'ios']],
  'outlook-windows': [['outlook', 'windows']],
  'outlook-new': [['outlook', 'outlook-com'], ['outlook', 'macos'], ['outlook', 'ios'], ['outlook', 'android']],
  yahoo: [['yahoo', 'desktop-webmail'], ['yahoo', 'ios'], ['yahoo', 'android']],
}

function support() {
  const { data, last_update_date: date } = readJson('node_modules/caniemail/data/caniemail.json')
  const refuses = (stats, [family, platform]) => Object.values(stats[family]?.[platform] ?? {}).at(-1)?.startsWith('n')
  const entry = ({ title, stats }) => ({ title, not: Object.keys(PROGRAMS).filter((name) => PROGRAMS[name].some((place) => refuses(stats, place))) })
  const features = Object.fromEntries(data.map((feature) => [feature.slug, entry(feature)]).filter(([, { not }]) => not.length))
  return { date, features }
}

// The licences of what is shipped (Inter is under the OFL, which asks that its text goes along).
function licences() {
  return Object.keys(readJson('package.json').dependencies).map((name) => {
    const folder = join('node_modules', name)
    const { version, license } = readJson(join(folder, 'package.json'))
    const text = readdirSync(folder).filter((file) => /^licen[cs]e/i.test(file)).map((file) => readFileSync(join(folder, file), 'utf8').trim())
    return [`${name} ${version} (${license})`, ...text].join('\n\n')
  }).join('\n\n----\n\n') + '\n'
}

mkdirSync(OUT, { recursive: true })
const outputs = await bundle()
writeFileSync(join(OUT, 'icons.json'), JSON.stringify(icons()))
writeFileSync(join(OUT, 'support.json'), JSON.stringify(support()))
writeFileSync(join(OUT, 'LICENSES.txt'), licences())
// The manifest comes last and by rename: whoever reads it finds every file it names.
writeFileSync(join(OUT, 'manifest.new'), JSON.stringify(manifestOf(outputs), null, 1))
renameSync(join(OUT, 'manifest.new'), join(OUT, 'manifest.json'))
const current = new Set([...Object.keys(outputs).map((file) => basename(file)), 'icons.json', 'support.json', 'LICENSES.txt', 'manifest.json'])
for (const file of readdirSync(OUT)) if (!current.has(file)) rmSync(join(OUT, file), { recursive: true })
