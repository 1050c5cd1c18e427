import type { DashboardJson, PanelJson } from '../test/support/dashboards.ts';
import { cssColour, type Read, type ReadPanel } from '../test/support/grafana.ts';
import type { Span } from '../test/support/grafana-variables.ts';

/** A picture of a board as a page of HTML: what `readBoard` read, where Grafana's grid of 24 columns puts it. */
const width = 1440;
const column = (width - 24) / 24;
const row = 38;
const gap = 8;
const top = 92;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const css = (name: string): string => (name.startsWith('#') ? name : cssColour(name));

const style = `
  * { box-sizing: border-box; margin: 0 }
  body { width: ${width}px; background: #111217; color: #ccccdc; font: 13px/1.3 'DejaVu Sans', Arial, sans-serif; position: relative }
  header { position: absolute; left: 12px; right: 12px; top: 10px }
  h1 { font-size: 18px; font-weight: 500; display: inline }
  .note { float: right; color: #f2cc0c; font-size: 12px }
  .variables { margin-top: 12px; font-size: 12px } .variables b { background: #22252b; padding: 5px 8px; font-weight: 400; border-radius: 2px }
  .variables span { margin-right: 10px } .links { float: right; color: #6e9fff }
  section { position: absolute; background: #181b1f; border: 1px solid #26292f; border-radius: 2px; overflow: hidden }
  section.row { background: none; border: none; padding-top: 8px; color: #ccccdc; font-size: 14px }
  h2 { font-size: 13px; font-weight: 500; padding: 7px 9px 3px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
  .stats { position: absolute; inset: 30px 8px 8px; display: flex; gap: 6px }
  .stats div { flex: 1 1 0; min-width: 0; border-radius: 2px; display: flex; flex-direction: column; justify-content: center; align-items: center; text-align: center; overflow: hidden }
  .stats.many { flex-direction: column } .stats.many div { flex-direction: row; justify-content: space-between; padding: 0 10px }
  .stats b { font-weight: 500; white-space: nowrap } .stats i { font-style: normal; font-size: 12px; opacity: .9; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; max-width: 100% }
  table { border-collapse: collapse; width: 100%; font-size: 12px } th { text-align: left; color: #6e9fff; font-weight: 500 }
  th, td { padding: 4px 8px; border-bottom: 1px solid #26292f; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; max-width: 190px } .wide td, .wide th { max-width: 140px; padding: 4px 6px }
  td.link { color: #6e9fff }
  .empty { position: absolute; inset: 40% 0 0; text-align: center; color: #9a9ba7 }
  .legend { position: absolute; left: 8px; right: 8px; bottom: 4px; max-height: 72px; overflow: hidden } .legend td, .legend th { padding: 1px 8px; border: 0 }
  .legend i { display: inline-block; width: 12px; height: 3px; margin-right: 6px; vertical-align: middle }
  svg text { fill: #9a9ba7; font-size: 10px }`;

function stats(panel: PanelJson, values: Extract<Read, { kind: 'stat' }>['values']): string {
  const filled = panel.options?.colorMode === 'background';
  const named = panel.options?.textMode === 'value_and_name';
  const many = values.length > 3;
  const longest = Math.max(...values.map(({ text }) => text.length));
  const room = (panel.gridPos.w * column - 30) / (many ? 1 : values.length);
  const size = many
    ? 15
    : Math.min(34, room / (longest * 0.62), (panel.gridPos.h * row - 60) / (named ? 1.9 : 1.3));
  const all = values.map(({ text, name, colour }) => {
    const look = filled
      ? `background:${css(colour)};color:${colour === 'yellow' ? '#202226' : '#fff'}`
      : `color:${css(colour)}`;
    const label = named && name ? `<i>${escaped(name)}</i>` : '';
    return `<div style="${look}">${label}<b style="font-size:${Math.max(13, size)}px">${escaped(text)}</b></div>`;
  });
  return `<div class="stats${many ? ' many' : ''}">${all.join('')}</div>`;
}

function table(panel: PanelJson, { columns, rows, empty }: Extract<Read, { kind: 'table' }>): string {
  if (rows.length === 0) return `<div class="empty">${escaped(empty)}</div>`;
  const shown = rows.slice(0, Math.ceil((panel.gridPos.h * row) / 25));
  const linked = new Set(
    columns.filter(
      (name) =>
        JSON.stringify(panel.fieldConfig).includes(`"options":"${name}"}`) &&
        ['Registry', 'Repository', 'Alert'].includes(name),
    ),
  );
  const cell = (name: string, { text, colour }: { text: string; colour: string }) => {
    const class_ = linked.has(name)
      ? ' class="link"'
      : colour === 'text'
        ? ''
        : ` style="color:${css(colour)}"`;
    return `<td${class_}>${escaped(text)}</td>`;
  };
  const body = shown.map(
    (cells) => `<tr>${cells.map((one, at) => cell(columns[at] ?? '', one)).join('')}</tr>`,
  );
  const wide = columns.length > 12 ? ' class="wide"' : '';
  return `<table${wide}><tr>${columns.map((name) => `<th>${escaped(name)}</th>`).join('')}</tr>${body.join('')}</table>`;
}

const clock = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(11, 16);

function graph(
  { gridPos }: PanelJson,
  { lines, axis }: Extract<Read, { kind: 'lines' }>,
  { from, to }: Span,
): string {
  if (lines.length === 0) return '<div class="empty">No data</div>';
  const [w, h] = [
    gridPos.w * column - gap - 20,
    gridPos.h * row - gap - 30 - 20 - Math.min(lines.length + 1, 4) * 18,
  ];
  const [left, right] = [62, w - 6];
  const points = lines.flatMap((line) => line.points);
  const highest = Math.max(...points.map(([, value]) => value).filter(Number.isFinite), 0) * 1.1 || 1;
  const x = (at: number) => left + ((at - from) / (to - from || 1)) * (right - left);
  const y = (value: number) => h - (value / highest) * (h - 8);
  const grid = [0, 0.5, 1].map((share) => {
    const at = y((highest / 1.1) * share);
    return `<line x1="${left}" x2="${right}" y1="${at}" y2="${at}" stroke="#2c3235"/><text x="${left - 6}" y="${at + 3}" text-anchor="end">${escaped(axis((highest / 1.1) * share))}</text>`;
  });
  const times = [0, 0.25, 0.5, 0.75].map((share) => from + (to - from) * share);
  const marks = times.map((at) => `<text x="${x(at)}" y="${h + 14}">${clock(at)}</text>`);
  const drawn = lines.map(({ points: all, colour }) => {
    const path = all.map(([at, value], index) => {
      const gapBefore =
        index > 0 && at - (all[index - 1]?.[0] ?? at) > 3 * ((all[1]?.[0] ?? 0) - (all[0]?.[0] ?? 0));
      return `${index === 0 || gapBefore ? 'M' : 'L'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    });
    return `<path d="${path.join('')}" fill="none" stroke="${css(colour)}" stroke-width="1.5"/>`;
  });
  const legend = lines
    .slice(0, 3)
    .map(
      ({ name, text, max, colour }) =>
        `<tr><td><i style="background:${css(colour)}"></i>${escaped(name)}</td><td>${escaped(text)}</td><td>${escaped(max)}</td></tr>`,
    );
  return `<svg width="${w}" height="${h + 20}" style="margin:0 10px">${grid.join('')}${marks.join('')}${drawn.join('')}</svg>
    <table class="legend"><tr><th>Name</th><th>Last *</th><th>Max</th></tr>${legend.join('')}</table>`;
}

function drawn({ panel, read }: ReadPanel, span: Span): string {
  if (read.kind === 'stat') return stats(panel, read.values);
  return read.kind === 'table' ? table(panel, read) : graph(panel, read, span);
}

/**
 * A page that shows a board as it opens: rows that are collapsed are one line.
 * @param chosen values of its variables, by their labels
 * @param span the time range of its graphs
 */
export function boardPage(
  board: DashboardJson,
  read: readonly ReadPanel[],
  chosen: ReadonlyMap<string, string>,
  span: Span,
): string {
  const byId = new Map(read.map((one) => [one.panel.id, one]));
  const height = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) * row + top + 8;
  const panels = board.panels.map((panel) => {
    const { x, y, w, h } = panel.gridPos;
    const place = `left:${12 + x * column}px;top:${top + y * row}px;width:${w * column - gap}px;height:${h * row - gap}px`;
    if (panel.type === 'row')
      return `<section class="row" style="${place}">${panel.collapsed ? '›' : '⌄'} ${escaped(panel.title)} (${panel.panels?.length} ${panel.panels?.length === 1 ? 'panel' : 'panels'})</section>`;
    const one = byId.get(panel.id);
    return `<section style="${place}"><h2>${escaped(panel.title)}</h2>${one ? drawn(one, span) : ''}</section>`;
  });
  const variables = [...chosen].map(
    ([label, value]) => `<span>${escaped(label)} <b>${escaped(value)}</b></span>`,
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escaped(board.title)}</title><style>${style} body { height: ${height}px }</style>
    <header><h1>${escaped(board.title)}</h1><span class="note">A rendering of made-up data by this project's tests, no screenshot of Grafana</span>
    <div class="variables">${variables.join('')}<span class="links">Fleet · Registry · Repository · Vulnerabilities · Images in use · Pushes · Capacity · Exporter</span></div></header>${panels.join('\n')}</html>`;
}
