/** @file The text of a function, as gpu.js reads it. */
import type { UserError } from '../errors.ts';

const declared = /^function\s*[\w$]*\s*\(/;
const method = /^[A-Za-z_$][\w$]*\s*\(/;

/**
 * `function name(...) { ... }`, of a function or of a method. Throws `fail`'s error for anything else: arrow functions have no `this`, which says where the element is; and what is random
 * would be so on each backend in its own way.
 */
export function sourceOf(f: unknown, fail: (why: string) => UserError): string {
  if (typeof f !== 'function') throw fail(`expected a function, got ${typeof f}`);
  const text = String(f);
  const what = f.name || 'it';
  if (/\[native code\]\s*\}$/.test(text))
    throw fail(`the text of ${what} cannot be read: it is native or bound`);
  if (!declared.test(text) && !method.test(text))
    throw fail(
      `${what} must be written as function (x) { ... } or as a method, not as an arrow function, a class, or async`,
    );
  if (/\bMath\s*\.\s*random\b/.test(text))
    throw fail(
      'Math.random differs from backend to backend and is not recorded; draw the numbers (draw.normal, draw.uniform) and give them as an input',
    );
  return declared.test(text) ? text : `function ${text}`;
}
