/** Of the contact sheet, the pictures beside it, and the one that is looked at large. */
export const sheetStyle = `
.beside{display:grid;grid-template-columns:auto minmax(0,1fr);gap:1.5rem 3rem;align-items:start;margin-top:1.2rem}
aside{position:sticky;top:1rem;width:13rem}
.training{list-style:none;margin:.4rem 0 0;padding:0;display:grid;grid-template-columns:repeat(3,1fr);gap:4px}
.training img{display:block;width:100%;height:auto;aspect-ratio:1;object-fit:cover}
.small .training img,.small .shot img,.small .frame img{image-rendering:pixelated}
.sheet th,.sheet td{padding:2px;vertical-align:bottom;text-align:left}
.sheet thead th{padding:6px 2px 8px;vertical-align:top;font-weight:600;line-height:1.3;background:var(--paper)}
.sheet thead th>*{display:block;margin-bottom:.2rem;max-width:calc(var(--shot) - 6px)}
.sheet thead .label,.sheet thead .method,.sheet thead .word{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:4;overflow:hidden}
.sheet thead .method,.sheet thead .word{font-weight:400;overflow-wrap:anywhere;-webkit-line-clamp:2}
.sheet thead th:first-child{font-weight:400;color:var(--muted);font-size:.75rem;width:2.6rem;min-width:2.6rem;vertical-align:bottom}
.sheet tbody th[scope=row]{font-weight:400;font-size:.75rem;color:var(--muted);vertical-align:middle;text-align:right;padding-right:.7rem;font-variant-numeric:tabular-nums}
.prompt th{font:400 1.0625rem/1.4 var(--serif);padding:1.1rem 2px .35rem!important;border-top:1px solid var(--rule);overflow-wrap:anywhere}
.sheet tbody tr:last-child td{padding-bottom:1rem}
.shot{display:block;padding:0;border:0;border-radius:2px;line-height:0;cursor:zoom-in}
.shot img{display:block;width:var(--shot);height:auto;transition:filter .15s}
.shot img,.training img{border-radius:2px;outline:1px solid var(--edge);outline-offset:-1px}
.shot:hover img{filter:brightness(1.06)}
.small{--shot:128px}
.large{--shot:clamp(8rem,14vw,13rem)}
@media (min-width:70rem){.small .sheet thead th{position:sticky;top:0;z-index:1}.small .wide:has(.sheet){overflow:visible}}
@media (max-width:70rem){
.beside{grid-template-columns:minmax(0,1fr)}
aside{position:static;width:auto}
.training{grid-template-columns:repeat(auto-fill,minmax(48px,1fr));max-width:40rem}
}
dialog{width:min(72rem,100vw - 2rem);max-height:calc(100dvh - 2rem);padding:0;border:1px solid var(--rule);border-radius:6px;background:var(--paper);color:inherit;box-shadow:0 1.5rem 4rem #0005}
dialog::backdrop{background:#000a}
.viewer{display:grid;grid-template-columns:minmax(0,1fr) minmax(16rem,22rem)}
.frame{display:grid;place-items:center;background:var(--wash);padding:1.25rem;min-height:16rem}
.frame img{display:block;width:auto;height:auto;max-width:100%;max-height:calc(100dvh - 5rem);border-radius:2px}
.small .frame img{width:min(100%,32rem,100dvh - 5rem)}
.told{padding:1.5rem;display:flex;flex-direction:column;gap:.5rem;min-width:0}
.told p{margin:0}
.told .prompt{font-size:1.2rem;line-height:1.35;overflow-wrap:anywhere}
.told pre{max-height:14rem}
.moves{display:flex;gap:.4rem;margin-top:auto;padding-top:1rem}
.moves .close{margin-left:auto}
@media (max-width:48rem){.viewer{grid-template-columns:minmax(0,1fr)}.frame{min-height:0}.small .frame img{width:min(100%,55dvh)}.frame img{max-height:55dvh}}
@media print{
aside{position:static}
.small{--shot:19mm}.large{--shot:27mm}
.beside{gap:1rem 1.5rem}aside{width:38mm}
.sheet thead th{position:static!important}
.prompt{break-after:avoid}
}
`;
