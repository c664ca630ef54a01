/**
 * @file Prompts that change from step to step: `[from:to:when]`, `[this|that]`. Source: A1111 `modules/prompt_parser.py`, whose grammar is
 *
 * ```
 * start: (prompt | /[][():]/+)*
 * prompt: (emphasized | scheduled | alternate | plain | WHITESPACE)*
 * emphasized: "(" prompt ")" | "(" prompt ":" prompt ")" | "[" prompt "]"
 * scheduled: "[" [prompt ":"] prompt ":" [WHITESPACE] NUMBER [WHITESPACE] "]"
 * alternate: "[" prompt ("|" [prompt])+ "]"
 * plain: /([^\\\[\]():|]|\\.)+/
 * ```
 */

/** What a prompt says up to a step. */
export interface ScheduledText {
  /** The last call of the U-Net, counted from 0, that it holds for. */
  readonly last: number;
  readonly text: string;
}

type Node =
  | string
  | { readonly kind: 'list'; readonly items: readonly Node[] }
  | { readonly kind: 'alternate'; readonly options: readonly Node[] }
  | {
      readonly kind: 'scheduled';
      readonly before: Node;
      readonly after: Node;
      readonly when: string;
    };

const plain = /(?:[^\\[\]():|]|\\.)+/uy;
const moment = /\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\]/y;

/**
 * The texts of a prompt over `steps` sampler steps, in order; the last one holds to the end. A moment with a point is a share of the steps (`[a:b:0.5]`), without one a step.
 * What the grammar does not know (a lone `|`, a backslash at the end) leaves the whole prompt as it stands. Brackets that have no partner are text; how A1111 reads what
 * stands beside them changes from start to start of its program, here the first reading that fits holds.
 */
export function promptSchedule(prompt: string, steps: number): ScheduledText[] {
  const tree = parse(prompt);
  if (tree === undefined) return [{ last: steps, text: prompt }];
  const ends = new Set([steps]);
  collect(tree, steps, ends);
  return [...ends].sort((a, b) => a - b).map((last) => ({ last, text: textAt(tree, last, steps) }));
}

/** Undefined where the prompt is no sentence of the grammar. */
function parse(prompt: string): Node | undefined {
  const items: Node[] = [];
  let at = 0;
  while (at < prompt.length) {
    const item = parseItem(prompt, at);
    if (item) {
      items.push(item.node);
      at = item.end;
    } else if ('[]():'.includes(prompt[at]!)) items.push(prompt[at++]!);
    else return undefined;
  }
  return { kind: 'list', items };
}

interface Parsed {
  readonly node: Node;
  readonly end: number;
}

/** One emphasized, scheduled, alternating or plain piece. */
function parseItem(prompt: string, at: number): Parsed | undefined {
  if (prompt[at] === '(') return parseRound(prompt, at);
  if (prompt[at] === '[') return parseSquare(prompt, at);
  const [text] = matchAt(plain, prompt, at) ?? [];
  return text === undefined ? undefined : { node: text, end: at + text.length };
}

/** As many pieces as there are; always a match, if an empty one. */
function parsePrompt(prompt: string, at: number): Parsed {
  const items: Node[] = [];
  let end = at;
  for (let item = parseItem(prompt, end); item; item = parseItem(prompt, end)) {
    items.push(item.node);
    end = item.end;
  }
  return { node: { kind: 'list', items }, end };
}

function parseRound(prompt: string, at: number): Parsed | undefined {
  const first = parsePrompt(prompt, at + 1);
  if (prompt[first.end] === ')') return listed('(', first.node, ')', first.end + 1);
  if (prompt[first.end] !== ':') return undefined;
  const second = parsePrompt(prompt, first.end + 1);
  if (prompt[second.end] !== ')') return undefined;
  const inside: Node = { kind: 'list', items: [first.node, ':', second.node] };
  return listed('(', inside, ')', second.end + 1);
}

function parseSquare(prompt: string, at: number): Parsed | undefined {
  const first = parsePrompt(prompt, at + 1);
  const next = prompt[first.end];
  if (next === ']') return listed('[', first.node, ']', first.end + 1);
  if (next === '|') return parseAlternate(prompt, first);
  if (next !== ':') return undefined;
  const only = matchAt(moment, prompt, first.end + 1);
  if (only) return scheduled('', first.node, only, first.end + 1);
  const second = parsePrompt(prompt, first.end + 1);
  const when = prompt[second.end] === ':' ? matchAt(moment, prompt, second.end + 1) : undefined;
  return when && scheduled(first.node, second.node, when, second.end + 1);
}

function parseAlternate(prompt: string, first: Parsed): Parsed | undefined {
  const options = [first.node];
  let { end } = first;
  while (prompt[end] === '|') {
    const option = parsePrompt(prompt, end + 1);
    options.push(option.node);
    end = option.end;
  }
  return prompt[end] === ']' ? { node: { kind: 'alternate', options }, end: end + 1 } : undefined;
}

const listed = (open: string, inside: Node, close: string, end: number): Parsed => ({
  node: { kind: 'list', items: [open, inside, close] },
  end,
});

const scheduled = (before: Node, after: Node, when: RegExpExecArray, at: number): Parsed => ({
  node: { kind: 'scheduled', before, after, when: when[1]! },
  end: at + when[0].length,
});

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

/** The step at which a scheduled piece changes. */
const stepOf = (when: string, steps: number): number =>
  Math.min(steps, Math.trunc(when.includes('.') ? Number(when) * steps : Number(when)));

/** The steps at which a tree's text may end. */
function collect(tree: Node, steps: number, ends: Set<number>): void {
  if (typeof tree === 'string') return;
  if (tree.kind === 'alternate') for (let step = 1; step <= steps; step++) ends.add(step);
  if (tree.kind === 'scheduled') {
    const step = stepOf(tree.when, steps);
    if (step >= 1) ends.add(step);
  }
  for (const child of childrenOf(tree)) collect(child, steps, ends);
}

function childrenOf(tree: Exclude<Node, string>): readonly Node[] {
  if (tree.kind === 'list') return tree.items;
  return tree.kind === 'alternate' ? tree.options : [tree.before, tree.after];
}

function textAt(tree: Node, step: number, steps: number): string {
  if (typeof tree === 'string') return tree;
  if (tree.kind === 'list') return tree.items.map((item) => textAt(item, step, steps)).join('');
  if (tree.kind === 'alternate')
    return textAt(tree.options[(step - 1) % tree.options.length]!, step, steps);
  return textAt(step <= stepOf(tree.when, steps) ? tree.before : tree.after, step, steps);
}
