import { FONT } from './text-width.ts'

/** Sizes and colours of Grafana's dark theme. */
export const STYLE = `
* { box-sizing: border-box; margin: 0; padding: 0; }
body { background: #111217; color: #ccccdc; font: 14px/1.57 ${FONT}; position: relative; }
header { position: absolute; left: 16px; right: 16px; top: 10px; height: 80px; }
header h1 { font-size: 20px; font-weight: 500; line-height: 26px; }
header p { color: rgba(204, 204, 220, 0.65); line-height: 22px; }
header .preview { position: absolute; right: 0; top: 3px; color: #111217; background: #fade2a; padding: 0 10px; border-radius: 2px; }
header .choices { font-size: 12px; line-height: 24px; margin-top: 4px; display: flex; gap: 8px; }
.choice { border: 1px solid rgba(204, 204, 220, 0.2); border-radius: 2px; padding: 0 8px; }
.choice b { font-weight: 500; color: #ccccdc; margin-right: 8px; }
.time { margin-left: auto; }
h2, section { position: absolute; }
h2 { font-size: 16px; font-weight: 500; line-height: 30px; }
section { background: #181b1f; border: 1px solid rgba(204, 204, 220, 0.12); border-radius: 2px; }
h3 { font-size: 14px; font-weight: 500; line-height: 32px; height: 32px; padding: 0 8px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
section > div { position: absolute; left: 8px; right: 8px; top: 32px; bottom: 8px; overflow: hidden; }
section svg { display: block; }
.empty, .mistake { height: 100%; display: flex; align-items: center; justify-content: center; text-align: center; color: rgba(204, 204, 220, 0.65); }
.mistake { color: #f2495c; }
.stats { display: flex; height: 100%; }
.stat { flex: 1; min-width: 0; min-height: 0; display: flex; flex-direction: column; justify-content: center; align-items: center; overflow: hidden; }
.stat .value { font-weight: 500; line-height: 1.2; white-space: nowrap; }
.stat .name { line-height: 20px; white-space: nowrap; max-width: 100%; overflow: hidden; text-overflow: ellipsis; }
.legend { list-style: none; display: flex; flex-wrap: wrap; align-content: flex-start; font-size: 12px; overflow: hidden; }
.legend li { line-height: 22px; padding-right: 14px; white-space: nowrap; display: flex; align-items: center; max-width: 100%; }
.legend i { width: 14px; height: 4px; border-radius: 2px; margin-right: 6px; flex: none; }
.legend span { overflow: hidden; text-overflow: ellipsis; }
table { table-layout: fixed; border-collapse: collapse; }
th, td { height: 36px; padding: 0 6px; border-bottom: 1px solid rgba(204, 204, 220, 0.08); }
th { color: #6e9fff; font-weight: 500; }
th span, td span { display: block; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.left { text-align: left; }
.right { text-align: right; }
.link { text-decoration: underline; }
`
