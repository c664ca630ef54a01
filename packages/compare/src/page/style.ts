/** @file How the page looks: on a screen, light and dark, wide and narrow, and on paper. */
import { colours } from './series.ts';
import { sheetStyle } from './sheetStyle.ts';

const series = (scheme: 0 | 1): string =>
  colours.map((pair, i) => `--s${i}:${pair[scheme]};`).join('');

const light = `--paper:#fdfcf9;--ink:#1d1e20;--muted:#5c6067;--faint:#a9a79f;--rule:#e2dfd7;--wash:#f4f1ea;--edge:#0000001a;--focus:#0067a6;${series(0)}`;
const dark = `--paper:#17181b;--ink:#e9e7e2;--muted:#a6a9af;--faint:#63676e;--rule:#303338;--wash:#202226;--edge:#ffffff1a;--focus:#6cb8f0;${series(1)}`;

export const style = `
:root{color-scheme:light dark;${light}
--serif:Charter,'Bitstream Charter','Iowan Old Style','Sitka Text',Cambria,'Noto Serif',Georgia,serif;
--sans:system-ui,-apple-system,'Segoe UI','Noto Sans','Helvetica Neue',Arial,sans-serif;
--mono:ui-monospace,'Cascadia Mono','SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace}
@media (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);font:1.0625rem/1.55 var(--serif);font-kerning:normal;text-rendering:optimizeLegibility}
header,main,footer{max-width:80rem;margin:0 auto;padding:0 clamp(1rem,4vw,3rem)}
header{padding-top:clamp(2rem,6vw,4.5rem)}
section{margin-top:clamp(2.5rem,5vw,4rem)}
h1{font-size:clamp(1.75rem,4vw,2.6rem);line-height:1.15;font-weight:600;letter-spacing:-.012em;margin:0 0 .7rem;max-width:24ch;text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:1.4rem;line-height:1.25;font-weight:600;margin:0 0 .4rem}
h3{font-size:1rem;font-weight:600;margin:0}
p{margin:0 0 .8rem;max-width:44rem;text-wrap:pretty;overflow-wrap:anywhere}
.lead{font-size:1.15rem;color:var(--muted);margin-bottom:0}
.lead b{color:var(--ink);font-weight:600}
.note,.method,.word,small,legend,figcaption,dt{font-family:var(--sans);font-size:.8125rem;line-height:1.45;color:var(--muted)}
.label{overflow-wrap:anywhere;unicode-bidi:isolate}
code,pre{font-family:var(--mono);font-size:.8125rem;line-height:1.5}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px;border-radius:3px}
.unseen{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.skip{position:absolute;left:1rem;top:-4rem;background:var(--ink);color:var(--paper);padding:.5rem .8rem;border-radius:3px;font-family:var(--sans);z-index:3}
.skip:focus{top:1rem}
.none{color:var(--muted)}
.swatch{flex:none;vertical-align:middle}
.gap{font-family:var(--mono);font-size:.85em;color:var(--muted);background:var(--wash);border-radius:3px;padding:0 .2em}
.wide{position:relative;overflow-x:auto;max-width:100%}

.glance{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr));gap:1rem 2rem;margin:1.8rem 0 0;padding:1.1rem 0;border-block:1px solid var(--rule)}
.glance dd{margin:.15rem 0 0;display:flex;flex-wrap:wrap;align-items:baseline;gap:.15rem .8rem;font-size:1.05rem}
.winner{display:inline-flex;align-items:center;gap:.5rem}
.glance .value{font-family:var(--sans);font-size:.9rem;color:var(--muted);font-variant-numeric:tabular-nums}

table{border-collapse:collapse;font-family:var(--sans);font-size:.875rem}
.figures{font-variant-numeric:tabular-nums lining-nums;min-width:min(100%,44rem)}
.figures th,.figures td{padding:.5rem 0 .5rem 1.6rem;text-align:right;vertical-align:baseline;white-space:nowrap}
.figures thead th{font-weight:400;font-size:.8125rem;color:var(--muted);vertical-align:bottom;white-space:normal;line-height:1.3}
.figures th:first-child{padding-left:0;text-align:left;font-weight:500;white-space:normal;min-width:9rem}
.figures th .swatch{margin-right:.65rem}
.figures thead tr,.figures tbody tr:last-child{border-bottom:1px solid var(--ink)}
.figures thead tr{border-top:1px solid var(--ink)}
.figures tbody tr{border-bottom:1px solid var(--rule)}
.figures .best{font-weight:650}
.figures small{font-weight:400;margin-left:.35em}
.mark{font-size:.5em;vertical-align:.35em;margin-right:.6em;color:var(--ink)}
p .mark{font-size:.6em;vertical-align:.15em;margin-right:.2em}
.figures+.note,.wide+.note{margin-top:.6rem}
.numbers{min-width:0}

details{margin-top:.6rem}
summary{font-family:var(--sans);font-size:.875rem;cursor:pointer;padding:.25rem 0;width:fit-content}
summary:hover{text-decoration:underline;text-underline-offset:.2em;text-decoration-color:var(--faint)}
.about dl{margin:.5rem 0 1rem;max-width:44rem}
.about dl div{display:grid;grid-template-columns:9rem 1fr;gap:0 1rem;padding:.3rem 0}
.about dt{color:var(--ink)}
.about dd{margin:0;font-size:.95rem;line-height:1.5}
.about>p{font-size:.95rem}

.switch{display:flex;align-items:center;gap:.2rem;border:0;padding:0;margin:0 0 .8rem;font-family:var(--sans);font-size:.8125rem}
.switch legend{float:left;padding:0;margin-right:.6rem}
.switch span{display:block;padding:.2rem .7rem;border-radius:1rem;cursor:pointer;color:var(--muted)}
.switch input{position:absolute;opacity:0;width:1px;height:1px}
.switch :checked+span{background:var(--wash);color:var(--ink);box-shadow:inset 0 0 0 1px var(--faint)}
.switch :focus-visible+span{outline:2px solid var(--focus);outline-offset:2px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,32rem),1fr));gap:1.5rem 2.5rem}
figure{margin:0;min-width:0}
figcaption strong{font-weight:600;color:var(--ink)}
.plot svg{display:block;width:100%;height:auto;max-width:42rem}
.plot text{font-family:var(--sans);font-variant-numeric:tabular-nums}
.curves:has([value=steps]:checked) .over-minutes,.curves:has([value=minutes]:checked) .over-steps{display:none}

.recipe{border-top:1px solid var(--rule);padding-top:.45rem;margin-top:.45rem}
.recipe .method{margin-left:.6rem}
.recipe .swatch{margin:0 .65rem 0 .3rem}
.code{position:relative;margin-top:.5rem}
pre{background:var(--wash);border-radius:4px;padding:.8rem 1rem;margin:0;overflow:auto;max-height:28rem;white-space:pre-wrap;overflow-wrap:anywhere}
.copy{display:none;position:absolute;right:.5rem;top:.5rem;background:var(--paper)}
.scripted .copy{display:block}
.scripted .code pre{padding-right:5rem}
button{font:500 .8125rem/1.2 var(--sans);color:inherit;background:none;border:1px solid var(--faint);border-radius:4px;padding:.4rem .7rem;cursor:pointer}
button:hover:enabled{border-color:var(--ink)}
button:disabled{opacity:.35;cursor:default}
.copy.done::after{content:' ✓'}
footer{margin-top:4rem;padding-block:1.5rem 3rem;border-top:1px solid var(--rule);color:var(--muted);font-size:.875rem}
footer p{margin-bottom:.5rem}
${sheetStyle}
@media (prefers-reduced-motion:reduce){*,::before,::after{transition:none!important;animation:none!important;scroll-behavior:auto!important}}
@media print{
:root{${light}color-scheme:light}
@page{margin:14mm}
body{font-size:10pt;background:none}
header,main,footer{max-width:none;padding:0}
.skip,.copy,.switch,dialog{display:none!important}
.wide{overflow:visible}
.about::details-content{content-visibility:visible;display:block}
tr,figure,.glance>div{break-inside:avoid}
h2{break-after:avoid}
section{margin-top:2rem}
}
`;
