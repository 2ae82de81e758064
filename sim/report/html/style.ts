/**
 * The report's looks. Colours are variables with a light, a dark and a printed value; every pair of text and ground has a
 * contrast of at least 4.5 : 1. Nothing is told by colour alone: policies differ in mark and dash, too, and what was for
 * nothing is hatched.
 */

/** Colours by name: light, dark. Print is light. */
export const COLORS: Readonly<Record<string, readonly [light: string, dark: string]>> = {
	ground: ["#ffffff", "#15171c"],
	raised: ["#f5f6f8", "#1e2128"],
	ink: ["#1b1d22", "#e7e9ee"],
	muted: ["#565b66", "#a9b0bd"],
	rule: ["#d5d8de", "#383d48"],
	grid: ["#e6e8ec", "#2a2e37"],
	link: ["#1a5fb4", "#7fb5f5"],
	good: ["#1d6b3f", "#6fce97"],
	bad: ["#b3123f", "#ff8fab"],
	s0: ["#a35200", "#f0a64a"],
	s1: ["#1a5fb4", "#74b0f4"],
	s2: ["#7a3fa0", "#c79be6"],
	s3: ["#2f6f57", "#74c7a5"],
	s4: ["#5c5f66", "#b4bac6"],
	crypto: ["#2a7f62", "#4fb893"],
	deliver: ["#79b8a0", "#a6dcc8"],
	other: ["#a7adb8", "#697182"],
	nothing: ["#c8144b", "#ff6f95"],
	wake: ["#c79a12", "#e6c04f"],
	poll: ["#c3b7dd", "#8d7fb3"],
	halt: ["#eceef1", "#262a32"],
};

function variables(column: 0 | 1): string {
	return Object.entries(COLORS)
		.map(([name, values]) => `--${name}: ${values[column]};`)
		.join(" ");
}

const ROOT = `
:root { color-scheme: light dark; ${variables(0)} }
@media (prefers-color-scheme: dark) { :root { ${variables(1)} } }
@media print { :root { color-scheme: light; ${variables(0)} } }`;

const series = [0, 1, 2, 3, 4];

/** What figures need, in a page or alone. */
export const FIGURE_STYLE = `${ROOT}
svg.figure { font: 12px/1.3 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }
svg.figure text { fill: var(--ink); }
svg.figure .label, svg.figure .tick { fill: var(--muted); }
svg.figure .tick { font-size: 11px; }
svg.figure .strong { font-weight: 650; font-size: 14px; }
svg.figure .small { font-size: 12.5px; }
svg.figure .value { font-weight: 600; }
svg.figure .quiet { fill: var(--muted); }
svg.figure .loud { fill: var(--bad); font-weight: 700; }
svg.figure .halo { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round; }
svg.figure line { stroke: var(--rule); stroke-width: 1; }
svg.figure .grid { stroke: var(--grid); }
svg.figure .axis { stroke: var(--muted); }
svg.figure .whisker { stroke: var(--ink); stroke-width: 1.3; }
svg.figure .reference { stroke: var(--muted); stroke-width: 1.3; stroke-dasharray: 2 3; fill: none; }
svg.figure .curve { fill: none; stroke-width: 2.2; }
svg.figure .curve.s1 { stroke-dasharray: 8 3; } svg.figure .curve.s2 { stroke-dasharray: 3 3; }
svg.figure .curve.s3 { stroke-dasharray: 10 3 2 3; } svg.figure .curve.s4 { stroke-dasharray: 1.5 4; }
${series.map((i) => `svg.figure .curve.s${i}, svg.figure .span.s${i}, svg.figure .mean.s${i} { stroke: var(--s${i}); }`).join("\n")}
${series.map((i) => `svg.figure .mark.s${i}, svg.figure .bar.s${i}, svg.figure .name.s${i} { fill: var(--s${i}); }`).join("\n")}
svg.figure .name { font-weight: 650; }
svg.figure .mark { stroke: var(--ground); stroke-width: 1; }
svg.figure .ring { fill: var(--ground); stroke: var(--s4); stroke-width: 2; }
svg.figure .span { stroke-width: 2; opacity: 0.75; }
svg.figure .mean { stroke-width: 3; }
svg.figure .bar { fill: var(--other); }
svg.figure .published { fill: none; stroke: var(--ink); stroke-width: 1.8; }
svg.figure .end-low { fill: var(--s2); }
svg.figure .end-high { fill: var(--s3); }
svg.figure .do-crypto { fill: var(--crypto); } svg.figure .do-deliver { fill: var(--deliver); }
svg.figure .do-other { fill: var(--other); } svg.figure .do-wake { fill: var(--wake); }
svg.figure .do-poll { fill: var(--poll); } svg.figure .do-halt { fill: var(--halt); stroke: var(--rule); stroke-width: 0.8; }
svg.figure .do-spin { fill: var(--s0); } svg.figure .do-deep { fill: var(--s1); } svg.figure .do-mid { fill: var(--s4); }
svg.figure .do-nothing { stroke: var(--nothing); stroke-width: 1; }
svg.figure .hatching { stroke: var(--nothing); stroke-width: 2.6; }
svg.figure .cross { stroke: var(--nothing); stroke-width: 1.3; fill: none; }
svg.figure .on { font-weight: 650; font-size: 11.5px; paint-order: stroke; stroke: var(--ground); stroke-width: 3.5px; stroke-linejoin: round; }`;

export const PAGE_STYLE = `${FIGURE_STYLE}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 0 24px 40px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 22px 0 4px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 44px 0 6px; padding-top: 14px; border-top: 1px solid var(--rule); }
h3 { font-size: 0.86rem; margin: 0 0 8px; color: var(--muted); font-weight: 650; }
p { margin: 6px 0 10px; max-width: 76ch; }
a { color: var(--link); }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.86em; }
code { overflow-wrap: anywhere; }
pre { margin: 0 0 8px; padding: 10px 12px; background: var(--raised); border: 1px solid var(--rule); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
.muted, .source { color: var(--muted); }
.about { color: var(--muted); font-size: 0.92rem; margin: 0 0 14px; max-width: none; }
.first { display: grid; grid-template-columns: 1.25fr 1.05fr 0.9fr; gap: 16px; }
.card { background: var(--raised); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px; min-width: 0; }
.card ul { margin: 0; padding-left: 1.05em; font-size: 0.92rem; } .card li { margin: 0 0 6px; }
.card p { font-size: 0.92rem; }
table.change { width: 100%; margin: 4px 0 8px; }
table.change th, table.change td { border: 0; padding: 5px 0 3px 14px; text-align: right; }
table.change th:first-child, table.change td:first-child { text-align: left; padding-left: 0; color: var(--muted); }
table.change b { font-size: 1.3rem; font-weight: 650; line-height: 1.15; white-space: nowrap; display: block; }
table.change small { color: var(--muted); font-size: 0.76rem; } table.change td small { white-space: nowrap; } table.change td:first-child small { white-space: normal; }
.unbroken { white-space: nowrap; }
#published h2 { margin-top: 18px; border: 0; } #published th, #published td { white-space: nowrap; } #published tbody th, #published td:last-child { white-space: normal; } #published td:last-child { font-size: 0.8rem; }
.indent { padding-left: 1em; }
.legend0 { color: var(--s0); } .legend1 { color: var(--s1); }
.agrees { color: var(--good); font-weight: 650; white-space: nowrap; } .disagrees { color: var(--bad); font-weight: 700; white-space: nowrap; }
.neither { color: var(--muted); white-space: nowrap; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; margin: 8px 0; }
.wide table { width: 100%; }
caption { text-align: left; color: var(--muted); padding-bottom: 4px; }
th, td { padding: 4px 12px 4px 0; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--grid); }
thead th { color: var(--muted); font-weight: 600; border-bottom-color: var(--rule); }
th.number, td.number { text-align: right; white-space: nowrap; }
tbody th { font-weight: 400; }
figure { margin: 14px 0 6px; min-width: 0; }
figcaption { overflow-wrap: anywhere; font-size: 0.92rem; margin-bottom: 6px; max-width: 76ch; } figcaption b { font-weight: 650; }
svg.figure { max-width: 100%; height: auto; display: block; }
.timeline svg.figure { width: 100%; min-width: 860px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 8px 40px; align-items: start; }
details { font-size: 0.9rem; margin: 4px 0 8px; } summary { cursor: pointer; color: var(--link); width: fit-content; }
.runs td code { font-size: 0.8rem; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media (max-width: 900px) { .first { grid-template-columns: 1fr; } }
@media (max-width: 560px) {
  main { padding: 0 14px 30px; } h1 { font-size: 1.35rem; } .card { padding: 12px; }
  table.change th, table.change td { padding-left: 8px; } table.change b { font-size: 1.15rem; } table.change small { font-size: 0.7rem; } table.change .unbroken { white-space: normal; }
  table.stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table.stack tr { display: block; padding: 8px 0; border-bottom: 1px solid var(--rule); }
  table.stack th, table.stack td { display: block; border: 0; padding: 1px 0; text-align: left; white-space: normal; }
  table.stack tbody th { font-weight: 600; } #published table.stack th, #published table.stack td { white-space: normal; }
  table.stack td[data-name]::before { content: attr(data-name) ": "; color: var(--muted); }
}
@media print {
  @page { margin: 13mm; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  h1 { margin-top: 0; } h2 { margin-top: 18px; break-after: avoid; }
  figure, tr, .card { break-inside: avoid; }
  .scroll { overflow: visible; } .timeline svg.figure { min-width: 0; }
  .first { grid-template-columns: 1.35fr 1.1fr 0.9fr; gap: 8px; } pre .unbroken { white-space: normal; } .card { padding: 8px 10px; } .card p, .card ul, table.change, pre { font-size: 8.5pt; }
  table.change th, table.change td { padding-left: 6px; } table.change b { font-size: 12pt; } table.change small { font-size: 7pt; }
  table.change .unbroken { white-space: normal; }
  #scan, #gains, #waiting, #sensitivity, #limits { break-inside: avoid; }
  .pair { grid-template-columns: 1fr 1fr; gap: 4px 18px; }
  section > p { break-after: avoid; } .pair table { font-size: 7.5pt; } .pair th, .pair td { padding-right: 6px; } .pair tbody th { min-width: 9em; }
  th.number { white-space: normal; }
  #published th, #published td { white-space: normal; }
  a { color: inherit; text-decoration: none; }
  details::details-content { content-visibility: visible; block-size: auto; } summary { list-style: none; color: var(--muted); }
  svg.figure, .card { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}`;
